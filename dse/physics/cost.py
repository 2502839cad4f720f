r"""Money and energy: from a price list to $/h of one accelerator and $/task of a system.

One price basis throughout: *system capex per accelerator* (device, host share, network share). Prices are estimates,
so every price enters as low / likely / high and leaves with its flag.
"""

import numpy as np

from dse.arrays import FloatArray

HOURS_PER_YEAR = 8766.0
"""Mean length of a year, 365.25 days [h]."""

SECONDS_PER_HOUR = 3600.0
"""[s/h]."""


def annuity(interest: FloatArray | float, lifetime: FloatArray | float) -> FloatArray:
    r"""Yearly payment that repays one dollar of capital over a lifetime.

    .. math:: a = \frac{r}{1 - (1 + r)^{-n}}, \qquad a = 1/n \text{ for } r = 0             (C1)

    Parameters
    ----------
    interest : (...) array             yearly interest rate r [1]
    lifetime : (...) array             economic life n [years]

    Returns
    -------
    (...) array                        share of the capital paid each year [1/year]

    Notes
    -----
    Source: standard annuity; the special case r = 0 is straight-line depreciation.

    >>> round(float(annuity(0.08, 4.0)), 4), float(annuity(0.0, 4.0))
    (0.3019, 0.25)
    """
    rate = np.asarray(interest, dtype=float)
    years = np.asarray(lifetime, dtype=float)
    safe = np.where(rate > 0, rate, 1.0)
    return np.asarray(np.where(rate > 0, safe / -np.expm1(-years * np.log1p(safe)), 1 / years))


def capex_rate(
    capex: FloatArray, annuity_factor: FloatArray | float, availability: FloatArray | float = 1.0
) -> FloatArray:
    r"""Capital cost per hour of service.

    .. math:: c = \frac{a\,K}{8766\,A}                                                     (C2)

    Parameters
    ----------
    capex : (...) array                capital per accelerator K [$]
    annuity_factor : (...) array       a from :func:`annuity` [1/year]
    availability : (...) array         share of hours in service A, spares included [1]

    Returns
    -------
    (...) array                        [$/h]

    Notes
    -----
    Source: definition.

    >>> round(float(capex_rate(np.array(50_000.0), 0.3019)), 3)
    1.722
    """
    return np.asarray(annuity_factor * capex / (HOURS_PER_YEAR * np.asarray(availability, dtype=float)))


def capex_from_rate(rate: FloatArray, opex_share: float, annuity_factor: float) -> FloatArray:
    r"""Capital that an ownership rate implies, the inverse of :func:`capex_rate`.

    .. math:: K = \frac{8766\,(1 - o)\,c}{a}                                               (C3)

    Parameters
    ----------
    rate : (...) array                 total cost of ownership c [$/h]
    opex_share : float                 share of the rate that is power and colocation o [1]
    annuity_factor : float             a [1/year]

    Returns
    -------
    (...) array                        [$]

    Notes
    -----
    Brings parts that have an ownership rate but no unit price onto the one price basis; always an estimate.
    Source: inversion of C2 with the published opex share (SemiAnalysis, below 20 %).

    >>> round(float(capex_from_rate(np.array(1.48), 0.2, 0.3019)))
    34379
    """
    return np.asarray(HOURS_PER_YEAR * (1 - opex_share) * rate / annuity_factor)


def memory_capex(capacity_change: FloatArray, price: FloatArray | float, margin: FloatArray | float) -> FloatArray:
    r"""Change of a device's price with its on-package memory capacity.

    .. math:: \Delta K = \frac{\Delta C\,p}{1 - g}                                         (C4)

    Parameters
    ----------
    capacity_change : (...) array      capacity beyond the listed part, Delta C [B]
    price : (...) array                price of the memory p [$/B]
    margin : (...) array               vendor's gross margin g on what it resells [1]

    Returns
    -------
    (...) array                        [$]

    Notes
    -----
    A vendor marks memory up like the rest of its part. Source: cost-plus pricing at the published gross margin.

    >>> round(float(memory_capex(np.array(64e9), 10.3e-9, 0.75)))     # 64 GB more HBM3e
    2637
    """
    return np.asarray(capacity_change * price / (1 - margin))


def facility_power(device: FloatArray, host: FloatArray | float, extra: FloatArray, pue: float) -> FloatArray:
    r"""Power drawn from the utility per accelerator.

    .. math:: P = \mathrm{PUE}\,(P_d + P_h + P_x)                                          (C5)

    Parameters
    ----------
    device : (...) array               accelerator at its rated power P_d [W]
    host : (...) array                 host and network share P_h [W]
    extra : (...) array                pool memory, host DRAM beyond the base, optics P_x [W]
    pue : float                        facility over IT power [1]

    Returns
    -------
    (...) array                        [W]

    Notes
    -----
    Rated power is what must be provisioned; a megawatt of facility is counted in it. Source: definition of PUE.

    >>> round(float(facility_power(np.array(700.0), 740.0, np.array(0.0), 1.2)))     # H100: 1.73 kW all in
    1728
    """
    return np.asarray(pue * (device + host + extra))


def hourly_cost(capital_rate: FloatArray, power: FloatArray, electricity: float) -> FloatArray:
    r"""Cost of one accelerator for one hour.

    .. math:: c = c_K + 3600\,P\,e                                                        (C6)

    Parameters
    ----------
    capital_rate : (...) array         c_K from :func:`capex_rate` [$/h]
    power : (...) array                facility power P [W]
    electricity : float                energy price e [$/J]

    Returns
    -------
    (...) array                        [$/h]

    Notes
    -----
    Source: definition.

    >>> round(float(hourly_cost(np.array(1.722), np.array(1728.0), 0.075 / 3.6e6)), 4)
    1.8516
    """
    return np.asarray(capital_rate + SECONDS_PER_HOUR * power * electricity)


def task_cost(device_seconds: FloatArray, hourly: FloatArray) -> FloatArray:
    r"""Cost of the work that one task does on one pool.

    .. math:: C = \frac{d\,c}{3600}                                                        (C8)

    Parameters
    ----------
    device_seconds : (...) array       provisioned accelerator time per task, utilisation included, d [s]
    hourly : (...) array               c from :func:`hourly_cost` [$/h]

    Returns
    -------
    (...) array                        [$/task]

    Notes
    -----
    Equal to (USD/h / 3600) / lambda* of a system whose pools are sized to the rate lambda*. Source: definition.

    >>> round(float(task_cost(np.array(100.0), np.array(1.8))), 3)
    0.05
    """
    return np.asarray(device_seconds * hourly / SECONDS_PER_HOUR)


def holding_time(
    recompute_cost: FloatArray, held: FloatArray, price: FloatArray, life: FloatArray | float
) -> FloatArray:
    r"""Time for which keeping a KV cache in a memory costs as much as computing it again.

    .. math:: t = \frac{C_{recompute}\,L}{m\,p}                                            (C9)

    Parameters
    ----------
    recompute_cost : (...) array       device time of the prefill in money [$]
    held : (...) array                 KV kept m [B]
    price : (...) array                of the memory p [$/B]
    life : (...) array                 time over which the memory is written off L [s]

    Returns
    -------
    (...) array                        break-even gap between two uses [s]

    Notes
    -----
    The five-minute rule of storage (Gray and Putzolu 1987) for KV: shorter gaps are worth keeping. Power and interest
    are left out on both sides.

    >>> round(float(holding_time(np.array(0.001), np.array(10e9), np.array(14e-9), 4 * 31_557_600.0)) / 60)
    15
    """
    return np.asarray(recompute_cost * life / (held * price))
