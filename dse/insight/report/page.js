(function () {
  'use strict';
  const root = document.documentElement;
  root.classList.add('js');
  const all = (selector, where) => Array.from((where || document).querySelectorAll(selector));
  const one = (selector, where) => (where || document).querySelector(selector);
  const state = JSON.parse(one('#state').textContent);
  const D = state.designs;
  const count = D ? D.ids.length : 0;
  const rows = Array.from({ length: count }, (_, i) => i);
  const measure = key => D.measures.find(item => item.key === key);
  const name = i => D.letters[i] || D.ids[i];
  const lever = (key, i) => D.levers[key].words[D.levers[key].codes[i]];
  const escaped = text => String(text).replace(/[&<>"']/g, c => '&#' + c.charCodeAt(0) + ';');
  const short = value => {
    if (value === 0) return '0';
    const size = Math.abs(value);
    if (size >= 1000 || size < 0.001) return Number(value.toPrecision(3)).toLocaleString('en', { maximumSignificantDigits: 3 });
    return String(Number(value.toPrecision(3)));
  };

  // figures
  const figures = {};
  all('script[data-for]').forEach(tag => { figures[tag.dataset.for] = JSON.parse(tag.textContent); });
  ['map', 'solid'].forEach(key => { if (figures[key] && D) figures[key].data.forEach(item => { if (item.meta && item.meta.role === 'front') item.text = D.hover; }); });
  const place = key => one(`.figure[data-figure="${key}"]`);
  const drawn = key => { const div = place(key); return div && div.dataset.drawn ? div : null; };
  const marks = div => ['stars', 'robust'].map(role => trace(div, role)).filter(number => number >= 0);
  const trace = (div, role) => div.data.findIndex(item => item.meta && item.meta.role === role);

  function colours() {
    const look = getComputedStyle(root);
    return { ink: look.getPropertyValue('--ink').trim(), line: look.getPropertyValue('--track').trim(), card: look.getPropertyValue('--card').trim() };
  }

  function recoloured(layout, look) {
    const change = { 'font.color': look.ink, 'title.font.color': look.ink, 'hoverlabel.bgcolor': look.card, 'hoverlabel.bordercolor': look.line, 'hoverlabel.font.color': look.ink };
    Object.keys(layout).filter(key => /^[xy]axis\d*$/.test(key)).forEach(key => {
      ['gridcolor', 'linecolor', 'zerolinecolor'].forEach(part => { change[`${key}.${part}`] = look.line; });
    });
    if (layout.scene) 'xyz'.split('').forEach(axis => {
      change[`scene.${axis}axis.color`] = look.ink;
      change[`scene.${axis}axis.gridcolor`] = look.line;
    });
    return change;
  }

  function colour(div) {
    const look = colours();
    Plotly.relayout(div, recoloured(div.layout, look));
    div.data.forEach((item, number) => {
      if (item.type === 'parcoords') Plotly.restyle(div, { 'labelfont.color': look.ink, 'tickfont.color': look.ink }, [number]);
    });
  }

  // On a phone: smaller letters, broken titles, no colour bar (the title names the colour), room for a longer legend.
  function narrowed(figure, width) {
    const layout = figure.layout;
    const smaller = (part, size) => { if (part) part.font = Object.assign({}, part.font, { size }); };
    smaller(layout, 11);
    smaller(layout.title, 12);
    if (layout.title && layout.title.text.length * 6.2 > width) {
      const middle = layout.title.text.indexOf(' ', layout.title.text.length / 2 - 4);
      layout.title.text = layout.title.text.slice(0, middle) + '<br>' + layout.title.text.slice(middle + 1);
      layout.margin = Object.assign({}, layout.margin, { t: layout.margin.t + 16 });
    }
    (layout.annotations || []).forEach(note => smaller(note, 9));
    Object.keys(layout).filter(key => /^[xy]axis\d*$/.test(key)).forEach(key => {
      const axis = layout[key], title = axis.title && axis.title.text;
      smaller(axis.title, 11);
      axis.tickangle = 0;
      if (title && title.length * 6 > (key[0] === 'x' ? width : layout.height) - 110) {
        const middle = title.indexOf(' ', title.length / 2 - 4);
        if (middle > 0) axis.title.text = title.slice(0, middle) + '<br>' + title.slice(middle + 1);
      }
    });
    let items = 0;
    figure.data.forEach(item => {
      if (item.showlegend !== false && item.name && item.visible !== false) items += 1;
      if (item.textfont) item.textfont.size = Math.min(item.textfont.size || 11, 9);
      if (item.marker && item.marker.colorbar) item.marker.showscale = false;
    });
    if (layout.legend && items > 2 && layout.showlegend !== false) {
      const extra = 15 * items;
      layout.height += extra;
      layout.margin = Object.assign({}, layout.margin, { b: layout.margin.b + extra });
    }
  }

  function draw(div) {
    if (div.dataset.drawn || !figures[div.dataset.figure]) return;
    div.dataset.drawn = '1';
    const figure = figures[div.dataset.figure];
    const narrow = div.clientWidth < 560;
    const layout = figure.layout;
    if (narrow) narrowed(figure, div.clientWidth);
    div.style.height = `${layout.height}px`;
    div.margin = Object.assign({}, layout.margin);
    try {
      Plotly.newPlot(div, figure.data, layout, { displayModeBar: false, responsive: true, displaylogo: false });
      colour(div);
      if (listeners[div.dataset.figure]) listeners[div.dataset.figure](div);
    } catch (error) {
      div.innerHTML = '<p class="note">This figure cannot be drawn here: ' + escaped(error.message) + '</p>';
    }
  }

  // what is shown: an upper limit, a selection on the map, a brush on the parallel axes
  const filter = { key: null, limit: Infinity, lasso: null, brush: {} };
  let chosen = state.topology ? state.topology.first : 0;
  let quiet = false;

  const parallel = figures.parallel ? figures.parallel.data[0].dimensions.map(item => ({ values: item.values.slice(), item })) : [];
  const within = (value, ranges) => (Array.isArray(ranges[0]) ? ranges : [ranges]).some(([low, high]) => value >= low && value <= high);
  const listed = i => (filter.key === null || D.values[filter.key][i] <= filter.limit) && (!filter.lasso || filter.lasso.has(i));
  const brushed = i => Object.entries(filter.brush).every(([axis, ranges]) => within(parallel[axis].values[i], ranges));
  const kept = () => rows.filter(i => listed(i) && brushed(i));

  function apply(source) {
    const shown = kept(), every = shown.length === count;
    const map = drawn('map'), solid = drawn('solid'), axes = drawn('parallel');
    quiet = true;
    if (map) {
      Plotly.restyle(map, { selectedpoints: [every ? null : shown] }, [trace(map, 'front')]);
      const inside = new Set(shown);
      marks(map).forEach(number => Plotly.restyle(map, { 'marker.opacity': [map.data[number].customdata.map(i => (inside.has(i) ? 1 : 0.25))] }, [number]));
    }
    if (solid) {
      const axis = shownAxes();
      const pick = key => shown.map(i => D.values[key][i]);
      Plotly.restyle(solid, { x: [pick(axis.x)], y: [pick(axis.y)], z: [pick(axis.colour)], 'marker.color': [pick(axis.colour)], text: [shown.map(i => D.hover[i])] }, [0]);
    }
    if (axes && source !== 'brush') {
      const open = rows.filter(listed);
      const change = { 'line.color': [open.map(i => D.values[D.measures[0].key][i]).map(Math.log10)] };
      parallel.forEach((dimension, number) => { change[`dimensions[${number}].values`] = [open.map(i => dimension.values[i])]; });
      Plotly.restyle(axes, change, [0]);
    }
    quiet = false;
    const label = one('#count');
    if (label) label.textContent = every ? `all ${count} designs` : `${shown.length} of ${count} designs`;
  }

  function shownAxes() {
    const found = {};
    ['x', 'y', 'colour'].forEach(axis => { const menu = one(`select[data-axis="${axis}"]`); found[axis] = menu ? menu.value : state.map[axis]; });
    return found;
  }

  function redraw() {
    const map = drawn('map'), axis = shownAxes();
    if (!map) return;
    const usual = axis.x === state.map.x && axis.y === state.map.y;
    const log = key => { const v = D.values[key]; return Math.min(...v) > 0 && Math.max(...v) / Math.min(...v) > 30; };
    const front = trace(map, 'front'), ring = trace(map, 'chosen');
    Plotly.restyle(map, {
      x: [D.values[axis.x]], y: [D.values[axis.y]], 'marker.color': [D.values[axis.colour]], 'marker.reversescale': !measure(axis.colour).maximize,
      'marker.colorbar.title.text': measure(axis.colour).label.replace(' [', '<br>[')
    }, [front]);
    marks(map).forEach(number => {
      const at = map.data[number].customdata;
      Plotly.restyle(map, { x: [at.map(i => D.values[axis.x][i])], y: [at.map(i => D.values[axis.y][i])] }, [number]);
    });
    if (ring >= 0) Plotly.restyle(map, { x: [[D.values[axis.x][chosen]]], y: [[D.values[axis.y][chosen]]] }, [ring]);
    ['density', 'near'].forEach(role => { const number = trace(map, role); if (number >= 0) Plotly.restyle(map, { visible: usual }, [number]); });
    const word = key => measure(key).label.replace(/ \[.*/, '');
    Plotly.relayout(map, {
      'xaxis.title.text': measure(axis.x).label, 'yaxis.title.text': measure(axis.y).label,
      'xaxis.type': usual || log(axis.x) ? figures.map.layout.xaxis.type && usual ? figures.map.layout.xaxis.type : log(axis.x) ? 'log' : 'linear' : 'linear',
      'yaxis.type': usual ? figures.map.layout.yaxis.type : log(axis.y) ? 'log' : 'linear',
      'xaxis.dtick': usual || log(axis.x) ? 'D2' : null, 'yaxis.dtick': usual || log(axis.y) ? 'D2' : null,
      'xaxis.autorange': true, 'yaxis.autorange': true, selections: [],
      'title.text': `${word(axis.x)} against ${word(axis.y)}, colour ${word(axis.colour)}`
    });
    apply('axes');
  }

  // one design
  function choose(i) {
    chosen = i;
    const title = one('#chosen');
    if (title) title.textContent = `${name(i)}: ${D.lines[i]}`;
    const box = one('#system');
    if (box && state.topology) box.innerHTML = picture(state.topology.systems[i], D.lines[i]);
    const facts = one('#chosen-facts');
    if (facts) facts.innerHTML = factsOf(i);
    all('.knee').forEach(card => card.classList.toggle('on', card.id === `design-${D.letters[i]}`));
    const map = drawn('map');
    if (!map) return;
    const axis = shownAxes(), x = [D.values[axis.x][i]], y = [D.values[axis.y][i]], ring = trace(map, 'chosen');
    if (ring >= 0) { Plotly.restyle(map, { x: [x], y: [y] }, [ring]); return; }
    Plotly.addTraces(map, { x, y, mode: 'markers', marker: { symbol: 'circle-open', size: 22, color: '#D55E00', line: { width: 2.5 } }, hoverinfo: 'skip', showlegend: false, meta: { role: 'chosen' } });
  }

  function factsOf(i) {
    const cells = Object.keys(D.levers).filter(key => !['inert', 'none'].includes(lever(key, i))).map(key => [D.levers[key].label, lever(key, i)]);
    const metrics = D.measures.map(item => [item.label, short(D.values[item.key][i])]);
    const table = pairs => '<table>' + pairs.map(([a, b]) => `<tr><td>${escaped(a)}</td><td class="number">${escaped(b)}</td></tr>`).join('') + '</table>';
    return table(metrics) + table(cells);
  }

  function picture(own, title) {
    const wide = 250, width = 640, label = (kind, x, y, text) => `<text class="${kind}" x="${x}" y="${y}" text-anchor="middle">${escaped(text)}</text>`;
    const lefts = own.pools.length === 1 ? [width / 2 - wide / 2] : [8, width - wide - 8];
    let parts = '';
    if (own.pools.length === 2) {
      const start = lefts[0] + wide, end = lefts[1], middle = (start + end) / 2;
      parts += `<line x1="${start}" y1="82" x2="${end}" y2="82" stroke="${own.colour}" stroke-width="${own.width}"/>` + label('s', middle, 64, own.rate) + label('s', middle, 108, own.medium) + label('s', middle, 124, own.busy);
    }
    own.pools.forEach(([role, devices, memory, fabric], number) => {
      const left = lefts[number], middle = left + wide / 2;
      parts += `<rect x="${left}" y="6" width="${wide}" height="152" rx="10" class="box"/>`;
      for (let row = 0; row < 2; row++) for (let column = 0; column < 12; column++) parts += `<rect x="${left + 20 + 18 * column}" y="${92 + 18 * row}" width="12" height="12" rx="2" class="chip ${escaped(role.split(' ')[0])}"/>`;
      parts += label('t', middle, 30, `${role} pool`) + label('t', middle, 52, devices) + label('s', middle, 74, memory) + label('s', middle, 148, fabric);
    });
    if (own.shared) {
      const middle = lefts[lefts.length - 1] + wide / 2;
      parts += `<line x1="${middle}" y1="158" x2="${middle}" y2="184" stroke="#56B4E9" stroke-width="5"/><rect x="${middle - 125}" y="184" width="250" height="36" rx="10" class="box memory"/>` + label('s', middle, 206, own.shared);
    }
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${own.shared ? 230 : 164}" class="system" role="img"><title>${escaped(title)}</title>${parts}</svg>`;
  }

  // compare tray
  let pinned = state.tray ? state.tray.pinned.slice() : [];
  function trayRows() {
    const metrics = D.measures.map(item => [item.label, ...pinned.map(i => short(D.values[item.key][i]))]);
    const levers = Object.keys(D.levers).filter(key => new Set(pinned.map(i => lever(key, i))).size > 1).map(key => [D.levers[key].label, ...pinned.map(i => lever(key, i))]);
    return [['', ...pinned.map(name)], ...metrics, ...levers];
  }
  function tray() {
    const box = one('#tray-table');
    if (!box) return;
    if (!pinned.length) { box.innerHTML = '<p class="quiet">Nothing is pinned.</p>'; return; }
    const [head, ...body] = trayRows();
    const cells = (row, tag) => '<tr>' + row.map((cell, n) => `<${tag}${n ? ' class="number"' : ''}>${escaped(cell)}</${tag}>`).join('') + '</tr>';
    box.innerHTML = `<div class="scroll"><table><thead>${cells(head, 'th')}</thead><tbody>${body.map(row => cells(row, 'td')).join('')}</tbody></table></div>`;
  }
  function pin(i) {
    if (pinned.includes(i)) { toast(`${name(i)} is pinned already`); return; }
    pinned = [...pinned, i].slice(-state.tray.most);
    tray();
    toast(`${name(i)} is pinned: see Compare`);
  }
  const markdown = () => {
    const [head, ...body] = trayRows(), line = row => `| ${row.map(cell => String(cell).replace(/\|/g, '\\|')).join(' | ')} |`;
    return [line(head), `|---|${pinned.map(() => '---:').join('|')}|`, ...body.map(line), '', `${state.study}: analytic estimate`].join('\n');
  };
  const yaml = i => [`# ${name(i)} of ${state.study}: ${D.lines[i]}`, 'constants:', ...Object.keys(D.levers).filter(key => lever(key, i) !== 'inert').map(key => `  ${key}: ${/^[\w.]+( [\w/]+)?$/.test(lever(key, i)) ? lever(key, i) : JSON.stringify(lever(key, i))}`)].join('\n') + '\n';

  function toast(text) {
    const box = one('#toast');
    box.textContent = text;
    box.classList.add('on');
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => box.classList.remove('on'), 1800);
  }
  function copy(text) {
    const old = () => {
      const area = document.createElement('textarea');
      area.value = text;
      document.body.appendChild(area);
      area.select();
      document.execCommand('copy');
      area.remove();
      toast('copied');
    };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => toast('copied'), old); else old();
  }

  const listeners = {
    map(div) {
      const index = point => (point.data.meta && point.data.meta.role === 'front' ? point.pointIndex : point.data.meta && point.data.meta.role === 'stars' ? point.customdata : null);
      div.on('plotly_selected', event => {
        if (!event || quiet) return;
        const found = event.points.map(index).filter(i => i !== null);
        filter.lasso = found.length ? new Set(found) : null;
        apply('lasso');
      });
      div.on('plotly_deselect', () => { if (!quiet) { filter.lasso = null; apply('lasso'); } });
      div.on('plotly_click', event => { const i = event.points.map(index).find(found => found !== null); if (i !== undefined) choose(i); });
      choose(chosen);
    },
    solid(div) { div.on('plotly_click', event => { const shown = kept(); choose(shown[event.points[0].pointNumber]); }); apply('tab'); },
    parallel(div) {
      div.on('plotly_restyle', () => {
        if (quiet) return;
        filter.brush = {};
        div.data[0].dimensions.forEach((item, number) => { if (item.constraintrange && item.constraintrange.length) filter.brush[number] = item.constraintrange; });
        apply('brush');
      });
    }
  };

  // controls
  function slide() {
    const menu = one('#limit-metric'), range = one('#limit');
    const values = D.values[menu.value], low = Math.log(Math.min(...values)), high = Math.log(Math.max(...values));
    const part = range.value / 1000;
    const limit = Math.exp(low + part * (high - low));
    filter.key = part >= 1 ? null : menu.value;
    filter.limit = limit * (1 + 1e-9);
    one('#limit-value').textContent = `${short(limit)} ${measure(menu.value).label.replace(/.*\[|\].*/g, '').replace(/^1$/, '')}`;
    apply('limit');
  }
  function clear() {
    filter.lasso = null;
    filter.brush = {};
    one('#limit').value = 1000;
    const axes = drawn('parallel'), map = drawn('map');
    quiet = true;
    if (axes) Plotly.restyle(axes, Object.fromEntries(parallel.map((_, number) => [`dimensions[${number}].constraintrange`, [null]])), [0]);
    if (map) Plotly.relayout(map, { selections: [] });
    quiet = false;
    slide();
  }
  function system(menu) {
    menu.dataset.figures.split(' ').forEach(key => {
      const show = item => !item.meta || item.meta.system === undefined || item.meta.system === menu.value;
      if (figures[key]) figures[key].data.forEach(item => { item.visible = show(item); });
      const div = drawn(key);
      if (div) Plotly.restyle(div, { visible: div.data.map(show) });
    });
  }
  function tab(button) {
    const bar = button.parentElement;
    all('button', bar).forEach(other => {
      other.classList.toggle('on', other === button);
      const panel = one(`[data-panel="${other.dataset.tab}"]`);
      if (panel) panel.hidden = other !== button;
    });
    all('.figure', one(`[data-panel="${button.dataset.tab}"]`)).forEach(draw);
  }

  document.addEventListener('click', event => {
    const button = event.target.closest('button');
    if (!button) return;
    if (button.dataset.tab) tab(button);
    if (button.dataset.select !== undefined) { choose(+button.dataset.select); toast(`${name(+button.dataset.select)} is selected`); }
    if (button.dataset.pin !== undefined) pin(+button.dataset.pin);
    if (button.dataset.yaml !== undefined) copy(yaml(+button.dataset.yaml));
    if (button.dataset.copy) copy(one('#' + button.dataset.copy).textContent);
    if (button.id === 'clear') clear();
    if (button.id === 'tray-copy') copy(markdown());
    if (button.id === 'tray-clear') { pinned = []; tray(); }
    if (button.id === 'pin-chosen') pin(chosen);
    if (button.id === 'theme') theme();
  });
  document.addEventListener('change', event => {
    if (event.target.dataset.axis) redraw();
    if (event.target.dataset.figures) system(event.target);
    if (event.target.id === 'limit-metric') slide();
    if (event.target.id === 'only-estimates') one('table.inputs').classList.toggle('only-estimates', event.target.checked);
  });
  document.addEventListener('input', event => { if (event.target.id === 'limit') slide(); });

  const dark = matchMedia('(prefers-color-scheme: dark)');
  function theme() {
    const now = root.dataset.theme || (dark.matches ? 'dark' : 'light');
    root.dataset.theme = now === 'dark' ? 'light' : 'dark';
    all('.figure[data-drawn]').forEach(colour);
  }
  dark.addEventListener('change', () => all('.figure[data-drawn]').forEach(colour));

  window.addEventListener('beforeprint', () => {
    all('details').forEach(box => { box.open = true; });
    all('.figure[data-drawn]').forEach(div => {
      if (!div.layout) return;
      const axes = div.data[0] && div.data[0].type === 'parcoords';
      const paper = axes ? { width: 1000, 'margin.l': 96, 'margin.r': 64 } : { width: 680 };
      Plotly.relayout(div, Object.assign(recoloured(div.layout, { ink: '#000', line: '#ddd', card: '#fff' }), paper));
      if (axes) Plotly.restyle(div, { 'labelfont.color': '#000', 'tickfont.color': '#000', 'labelfont.size': 10, 'tickfont.size': 9 }, [0]);
    });
  });
  window.addEventListener('afterprint', () => all('.figure[data-drawn]').forEach(div => {
    if (!div.layout) return;
    Plotly.relayout(div, { width: null, autosize: true, 'margin.l': div.margin.l, 'margin.r': div.margin.r });
    if (div.data[0] && div.data[0].type === 'parcoords') Plotly.restyle(div, { 'labelfont.size': 11, 'tickfont.size': 10 }, [0]);
    colour(div);
  }));

  all('.figure').filter(div => div.offsetParent !== null).forEach(draw);
  if (D) {
    all('select[data-figures]').forEach(system);
    if (one('#limit')) slide();
    choose(chosen);
    tray();
  }
  window.dseReport = { count, kept, chosen: () => chosen, pinned: () => pinned.slice(), markdown, yaml };
  root.dataset.ready = '1';
})();
