// The pages of regild: the table of desktops, the check of the digest, the colours, and, in the dashboard, keeping up to date.
// Nothing here writes HTML: text becomes text nodes, and what the dashboard fetches was escaped by the server.
'use strict';
(() => {
  const $ = (id) => document.getElementById(id);
  let data = {};
  const load = (doc) => { data = JSON.parse(doc.getElementById('data').textContent); };
  load(document);
  const t = (key, ...args) => (data.texts[key] || key).replace(/%(\d)/g, (_, n) => args[n - 1]);
  const number = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ',');

  // As package escape does it: what does not print is shown as an escape.
  const visible = (s) => s.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|\ufffd/gu, (c) => {
    const code = c.codePointAt(0), hex = code.toString(16);
    const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[c];
    if (short) return short;
    if (code < 0x80) return '\\x' + hex.padStart(2, '0');
    return code > 0xffff ? '\\U' + hex.padStart(8, '0') : '\\u' + hex.padStart(4, '0');
  });
  const element = (name, text, className) => {
    const e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    if (className) e.className = className;
    return e;
  };
  const save = (name, type, parts) => {
    const a = element('a');
    a.href = URL.createObjectURL(new Blob(parts, { type }));
    a.download = name;
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 10000);
  };
  const fileName = (ending) => data.work.replace(/[^A-Za-z0-9.-]+/g, '-').slice(0, 100) + ending;

  // Times are written in the zone that the page was made for.
  const moment = (s) => {
    if (!s) return '';
    let offset = 0;
    for (const [from, o] of data.zone) if (s >= from) offset = o;
    return new Date((s + offset) * 1000).toISOString().slice(0, 19).replace('T', ' ');
  };
  const span = (s) => {
    if (s === '') return '';
    const parts = [];
    for (const [unit, n] of [['d', 86400], ['h', 3600], ['m', 60], ['s', 1]]) {
      const k = Math.floor(s / n);
      if (k > 0 && parts.length < 2) parts.push(t('span.' + unit, k));
      s -= k * n;
    }
    return parts.join(' ') || t('span.s', 0);
  };

  // ---- colours
  const themes = ['auto', 'light', 'dark'];
  let theme = 'auto';
  const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* a file may have no storage */ } };
  const recall = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const paint = () => {
    if (theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    $('theme').textContent = t('theme.' + theme);
  };
  theme = themes.includes(recall('regild-theme')) ? recall('regild-theme') : 'auto';
  paint();
  $('theme').addEventListener('click', () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    remember('regild-theme', theme);
    paint();
  });
  $('print').addEventListener('click', () => window.print());

  // On paper everything is open.
  let closed = [];
  window.addEventListener('beforeprint', () => {
    closed = [...document.querySelectorAll('details:not([open])')];
    for (const d of closed) d.open = true;
  });
  window.addEventListener('afterprint', () => { for (const d of closed) d.open = false; });

  // ---- the table
  const perPage = 100;
  const mostPrinted = 2000;
  const view = { sort: '', down: false, page: 0, printing: false };
  let rows = []; // places of all desktops, in the order they came
  let shown = []; // those that match, in the order wanted
  let text = []; // what the search looks at, for each desktop
  let columns = [];
  const word = (list) => (i) => data.words[data[list][i]];
  const took = (i) => (data.stands[data.stand[i]] === 'completed' && data.accepted[i] && data.done[i] >= data.accepted[i] ? data.done[i] - data.accepted[i] : '');
  const message = (i) => data.words[data.message[i]].replaceAll('\u0001', data.id[i]);
  const stand = (i) => data.stands[data.stand[i]];
  const outcome = (i) => (data.nth[i] ? `${data.work}/${data.id[i]}/${stand(i)}${data.nth[i] > 1 ? '/' + data.nth[i] : ''}` : '');
  const all = [
    { key: 'id', value: (i) => data.id[i], className: 'id' },
    { key: 'wave', value: (i) => data.wave[i], className: 'num' },
    { key: 'stand', value: (i) => data.stand[i], show: (i) => t('stand.' + stand(i)), plain: stand, className: 'word' },
    { key: 'code', value: word('code') },
    { key: 'message', value: message, className: 'text' },
    { key: 'from', value: word('from'), className: 'id' },
    { key: 'to', value: word('to'), className: 'id' },
    { key: 'tries', value: (i) => data.tries[i] || '', className: 'num' },
    { key: 'accepted', value: (i) => data.accepted[i], show: (i) => moment(data.accepted[i]).slice(5), className: 'time' },
    { key: 'done', value: (i) => data.done[i], show: (i) => moment(data.done[i]).slice(5), className: 'time' },
    { key: 'took', value: took, show: (i) => span(took(i)), className: 'num' },
    { key: 'request', value: word('request'), className: 'id wide' },
  ];
  const shownText = (c, i) => (c.show ? c.show(i) : visible(String(c.value(i))));

  const prepare = () => {
    rows = data.id.map((_, i) => i);
    text = rows.map((i) => [data.id[i], word('code')(i), message(i), word('from')(i), word('to')(i), word('request')(i), stand(i), t('stand.' + stand(i))].join('\n').toLowerCase());
    // A column that says the same of everybody is left out; the record has the image.
    const same = (c) => new Set(rows.map(c.value).filter((v) => v !== '')).size < 2;
    columns = all.filter((c) => !((['wave', 'from', 'to', 'tries'].includes(c.key) && same(c))));
    const options = (id, values, label) => {
      const select = $(id);
      const before = select.value;
      select.replaceChildren(select.options[0], ...values.map((v) => { const o = element('option', label(v)); o.value = v; return o; }));
      if (values.includes(before)) select.value = before;
      select.parentElement.hidden = values.length < 2;
    };
    const used = (list) => [...new Set(list)];
    options('stand', used(data.stand).sort((a, b) => a - b).map((i) => data.stands[i]), (s) => t('stand.' + s));
    options('code', used(data.code).map((i) => data.words[i]).filter((c) => c).sort(), visible);
    options('wave', used(data.wave).sort((a, b) => a - b).map(String), String);
    const head = element('tr');
    for (const c of columns) {
      const th = element('th', undefined, c.className === 'num' ? 'num' : '');
      th.scope = 'col';
      th.dataset.key = c.key;
      const button = element('button', t('col.' + c.key));
      button.type = 'button';
      button.title = t('sort', t('col.' + c.key));
      button.addEventListener('click', () => {
        if (view.sort !== c.key) { view.sort = c.key; view.down = false; } else if (!view.down) view.down = true; else view.sort = '';
        view.page = 0;
        update();
      });
      th.append(button);
      head.append(th);
    }
    const thead = document.querySelector('#table thead');
    const focused = thead.contains(document.activeElement) ? document.activeElement.parentElement.dataset.key : null;
    thead.replaceChildren(head);
    if (focused) thead.querySelector(`[data-key="${focused}"] button`)?.focus();
  };

  const update = () => {
    const words = $('search').value.toLowerCase().split(/\s+/).filter((w) => w);
    const [wantStand, wantCode, wantWave] = ['stand', 'code', 'wave'].map((id) => $(id).value);
    shown = rows.filter((i) => (!wantStand || stand(i) === wantStand) && (!wantCode || data.words[data.code[i]] === wantCode) &&
      (!wantWave || String(data.wave[i]) === wantWave) && words.every((w) => text[i].includes(w)));
    const c = columns.find((x) => x.key === view.sort);
    if (c) {
      const values = new Map(shown.map((i) => [i, c.value(i)]));
      const sign = view.down ? -1 : 1;
      shown.sort((a, b) => {
        const x = values.get(a), y = values.get(b);
        if (x === y) return a - b;
        if (x === '' || y === '') return x === '' ? 1 : -1; // nothing comes last either way
        return x < y ? -sign : sign;
      });
    }
    draw();
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / perPage));
    view.page = Math.min(view.page, pages - 1);
    const from = view.printing ? 0 : view.page * perPage;
    const to = Math.min(shown.length, view.printing ? mostPrinted : from + perPage);
    const body = document.createDocumentFragment();
    for (const i of shown.slice(from, to)) {
      const tr = element('tr');
      for (const c of columns) {
        const td = element('td', undefined, c.className);
        if (c.key === 'stand') td.append(element('span', '', 'dot is-' + stand(i)));
        td.append(c.className?.startsWith('id') || c.key === 'message' ? element('bdi', shownText(c, i)) : shownText(c, i));
        tr.append(td);
      }
      body.append(tr);
    }
    document.querySelector('#table tbody').replaceChildren(body);
    for (const th of document.querySelectorAll('#table thead th')) {
      if (th.dataset.key === view.sort) th.setAttribute('aria-sort', view.down ? 'descending' : 'ascending');
      else th.removeAttribute('aria-sort');
    }
    const n = [number(shown.length ? from + 1 : 0), number(to), number(shown.length), number(rows.length)];
    if (!shown.length) $('shown').textContent = t('table.none');
    else if (view.printing && to < shown.length) $('shown').textContent = t('table.printed', n[1], n[2]);
    else $('shown').textContent = t(shown.length === rows.length ? 'table.shown' : 'table.filtered', ...n);
    $('prev').disabled = view.page === 0;
    $('next').disabled = view.page >= pages - 1;
  };

  const csv = () => {
    // As package escape does it: what a spreadsheet would take for a formula is made text.
    const cell = (v) => '"' + visible(v).replace(/^(?=[=+\-@＝＋－＠])/, "'").replaceAll('"', '""') + '"';
    const lines = [[...all.map((c) => t('col.' + c.key)), t('col.outcome')].map(cell).join(',')];
    for (const i of shown) {
      lines.push([...all.map((c) => cell(String(c.plain ? c.plain(i) : c.className === 'time' ? moment(c.value(i)) : c.value(i)))), cell(outcome(i))].join(','));
    }
    save(fileName('.csv'), 'text/csv', ['\ufeff' + lines.join('\r\n') + '\r\n']);
  };

  const turn = (by) => { view.page += by; draw(); };
  if ($('table')) {
    $('table').hidden = false;
    prepare();
    update();
    for (const id of ['search', 'stand', 'code', 'wave']) $(id).addEventListener('input', () => { view.page = 0; update(); });
    $('search').form.addEventListener('submit', (e) => e.preventDefault());
    $('prev').addEventListener('click', () => turn(-1));
    $('next').addEventListener('click', () => turn(1));
    $('csv').addEventListener('click', csv);
    document.addEventListener('keydown', (e) => {
      if (e.key === '/' && !e.ctrlKey && !e.metaKey && !e.altKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        e.preventDefault();
        $('search').focus();
      }
    });
    document.addEventListener('click', (e) => {
      const a = e.target.closest('a[data-stand]');
      if (!a) return;
      $('stand').value = a.dataset.stand;
      $('code').value = a.dataset.code;
      $('search').value = $('wave').value = '';
      view.page = 0;
      update();
    });
    window.addEventListener('beforeprint', () => { view.printing = true; draw(); });
    window.addEventListener('afterprint', () => { view.printing = false; draw(); });
  }

  // ---- the digest
  const outcomeIDs = () => {
    const ids = rows.map(outcome).filter((id) => id);
    const bytes = new TextEncoder();
    const keyed = ids.map((id) => [bytes.encode(id), id]);
    keyed.sort(([a], [b]) => {
      for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
      return a.length - b.length;
    });
    return keyed.map(([, id]) => id);
  };
  document.addEventListener('click', async (e) => {
    if (e.target.id === 'saveids') save('outcome-ids.txt', 'text/plain', [outcomeIDs().join('\n') + '\n']);
    if (e.target.id !== 'check') return;
    const out = $('checked');
    if (!window.crypto?.subtle) { out.textContent = t('check.cannot'); return; }
    const ids = outcomeIDs();
    const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(ids.join('\n'))));
    const digest = 'sha256:' + [...sum].map((b) => b.toString(16).padStart(2, '0')).join('');
    const agrees = $('digest')?.textContent === digest;
    out.textContent = t(agrees ? 'check.agrees' : 'check.differs', number(ids.length), digest);
    out.className = agrees ? 'good' : 'bad';
  });

  // ---- the dashboard keeps itself up to date: the server says that something has changed, and the page is fetched again.
  const watch = document.body.dataset.watch;
  if (watch) {
    const least = 1000; // milliseconds between two fetches
    let busy = false, again = false, last = 0;
    const say = (s) => { $('live').textContent = s; };
    const clockNow = () => moment(Math.floor(Date.now() / 1000)).slice(11);
    const refresh = async () => {
      if (busy) { again = true; return; }
      busy = true;
      await new Promise((done) => setTimeout(done, Math.max(0, last + least - Date.now())));
      last = Date.now();
      again = false;
      try {
        const response = await fetch(location.href, { headers: { Accept: 'text/html' } });
        if (response.redirected || response.status === 401) { location.reload(); return; }
        if (!response.ok) throw new Error(response.status);
        replace(new DOMParser().parseFromString(await response.text(), 'text/html'));
        say(t('live.on', clockNow()));
      } catch { say(t('live.off')); }
      busy = false;
      if (again) refresh();
    };
    const replace = (doc) => {
      for (const now of document.querySelectorAll('[data-live]')) {
        const next = doc.getElementById(now.id);
        if (!next || now.innerHTML === next.innerHTML) continue;
        const focus = now.contains(document.activeElement) ? document.activeElement : null;
        const open = [...now.querySelectorAll('details')].map((d) => d.open);
        const href = focus?.getAttribute('href');
        now.replaceChildren(...next.childNodes);
        now.querySelectorAll('details').forEach((d, i) => { d.open = !!open[i]; });
        if (focus?.id) $(focus.id)?.focus({ preventScroll: true });
        else if (href) [...now.querySelectorAll('a')].find((a) => a.getAttribute('href') === href)?.focus({ preventScroll: true });
      }
      if ($('table') && doc.getElementById('data').textContent !== document.getElementById('data').textContent) {
        document.getElementById('data').textContent = doc.getElementById('data').textContent;
        load(document);
        prepare();
        update();
      }
    };
    const source = new EventSource('/events?of=' + encodeURIComponent(watch) + '&seen=' + encodeURIComponent(document.body.dataset.seen));
    source.addEventListener('open', () => say(t('live.on', clockNow())));
    source.addEventListener('change', refresh);
    source.addEventListener('error', () => say(t('live.off')));
  }

  // ---- signing in with the token that stands behind # of the address, which no server and no log sees.
  const signIn = () => {
    const token = $('token');
    if (!token || location.hash.length < 2) return;
    token.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, '', location.pathname);
    token.form.submit();
  };
  window.addEventListener('hashchange', signIn);
  signIn();
})();
