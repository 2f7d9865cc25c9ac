// Part of a Stillframe site.
// The studies of an archive in a list that is searched, sorted and opened.
import { formatCount } from './study-list.js';
import { make, VirtualRows } from './study-rows.js';
import {
  COLUMNS,
  compileFacets,
  compileSearch,
  countModalities,
  readView,
  searchText,
  sortStudies,
  writeView,
} from './study-search.js';
import { makeStudyPanel } from './study-series.js';
import { makeHeadings, makeRow, makeSortings } from './study-table.js';

const ANNOUNCE_MS = 500; // a reader of the screen hears a count once typing pauses
const ADDRESS_MS = 150;
const SLICE_MS = 5; // of reading ahead, between which the page answers
const MOST_OPEN = 8; // studies that an address keeps open

const findElements = (...ids) => Object.fromEntries(ids.map((id) => [id, document.getElementById(id)]));
const elements = findElements(
  'tools',
  'search',
  'modalities',
  'from',
  'to',
  'count',
  'announced',
  'clear',
  'sorting',
  'table',
  'columns',
  'rows',
);

/** The list of studies: its search, facets and order, its rows, and the address that holds all that. */
export class StudyBrowser {
  #studies = [];
  #orders = new Map(); // column and direction -> studies
  #modalities = [];
  #pictures = { missing: new Set(), shown: 0 };
  #view = readView(location.hash);
  #announcing = 0;
  #addressing = 0;

  constructor(archive) {
    this.archive = archive;
    this.rows = new VirtualRows(elements.rows, {
      makeRow: (study, index) => this.#makeRow(study, index),
      makePanel: (study) => this.#makePanel(study),
      above: elements.tools,
    });
    elements.columns.replaceChildren(...makeHeadings((column) => this.#sortBy(column)));
    elements.sorting.replaceChildren(...makeSortings());
    this.#listen();
  }

  /** Shows the studies of a list that was read. `tellDamaged` is called if some of them turn out to be damaged. */
  take(studies, tellDamaged) {
    this.#studies = studies;
    this.#modalities = countModalities(studies);
    elements.tools.hidden = elements.table.hidden = false;
    this.#makeModalities();
    this.#show();
    const byUid = new Map(studies.map((study) => [study.uid, study]));
    for (const uid of this.#view.open) if (byUid.has(uid)) this.rows.toggle(byUid.get(uid), true);
    if (history.state?.scroll) window.scrollTo({ top: history.state.scroll }); // back from a study
    performance.mark('stillframe-first-rows');
    this.#indexAhead(studies, 0, tellDamaged);
  }

  /** Reads what searches look at while nothing else is to be done; a search that comes earlier reads what it needs. */
  #indexAhead(studies, start, tellDamaged) {
    const stop = performance.now() + SLICE_MS;
    let index = start;
    while (index < studies.length && performance.now() < stop) textOfStudy(studies[index++]);
    if (index < studies.length) {
      setTimeout(() => this.#indexAhead(studies, index, tellDamaged));
      return;
    }
    const damaged = studies.filter(({ isDamaged }) => isDamaged).length;
    if (damaged) tellDamaged(damaged);
  }

  /** Shows the studies that the view asks for, and writes the controls and the address to match it. */
  #show() {
    const view = this.#view;
    const facets = compileFacets(view);
    const finds = view.search.trim()
      ? compileSearch(
          view.search,
          this.#modalities.map(([modality]) => modality),
        )
      : null;
    const all = this.#inOrder();
    const isAll = !finds && !view.from && !view.to;
    const inTime = view.from || view.to ? all.filter(facets.date) : all;
    const dated = finds ? inTime.filter((study) => finds(study, textOfStudy(study))) : inTime;
    const found = view.modalities.length ? dated.filter(facets.modality) : dated;
    this.#writeControls(new Map(isAll ? this.#modalities : countModalities(dated)));
    this.#writeCount(found.length);
    elements.table.setAttribute('aria-rowcount', found.length + 1);
    this.rows.setItems(found);
    this.#writeAddress();
  }

  #inOrder() {
    const { column, descending } = this.#view;
    const key = `${descending}${column}`;
    if (!this.#orders.has(key)) {
      const newest = this.#orders.get('truedate') ?? sortStudies(this.#studies, 'date', true);
      this.#orders.set('truedate', newest);
      this.#orders.set(key, key === 'truedate' ? newest : sortStudies(newest, column, descending));
    }
    return this.#orders.get(key);
  }

  #writeCount(count) {
    const all = this.#studies.length;
    const studies = all === 1 ? 'study' : 'studies';
    const cut = count > this.rows.limit ? `; the first ${formatCount(this.rows.limit)} are listed` : '';
    const text =
      count === all ? `${formatCount(all)} ${studies}` : `${formatCount(count)} of ${formatCount(all)} ${studies}`;
    elements.count.textContent = text + cut;
    elements.clear.hidden = count === all;
    elements.table.classList.toggle('empty', count === 0);
    clearTimeout(this.#announcing);
    this.#announcing = setTimeout(() => (elements.announced.textContent = text + cut), ANNOUNCE_MS);
  }

  /** The address follows once typing pauses: browsers allow a page few changes of it. */
  #writeAddress() {
    clearTimeout(this.#addressing);
    this.#addressing = setTimeout(() => this.#writeNow(history.state), ADDRESS_MS);
  }

  #writeNow(state) {
    clearTimeout(this.#addressing);
    history.replaceState(state, '', location.pathname + location.search + writeView(this.#view));
  }

  #writeControls(counts) {
    const { search, from, to, column, descending, modalities } = this.#view;
    if (elements.search.value !== search) elements.search.value = search;
    if (elements.from.value !== from) elements.from.value = from;
    if (elements.to.value !== to) elements.to.value = to;
    elements.sorting.value = `${descending ? '-' : ''}${column}`;
    for (const heading of elements.columns.children) {
      const isSorted = heading.dataset.column === column;
      if (isSorted) heading.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
      else heading.removeAttribute('aria-sort');
    }
    for (const button of elements.modalities.children) {
      const { modality } = button.dataset;
      button.setAttribute('aria-pressed', String(modalities.includes(modality)));
      button.querySelector('.number').textContent = formatCount(counts.get(modality) ?? 0);
      button.classList.toggle('none', !counts.has(modality));
    }
  }

  #makeModalities() {
    elements.modalities.replaceChildren(
      ...this.#modalities.map(([modality, count]) =>
        make(
          'button',
          {
            type: 'button',
            class: 'chip',
            'data-modality': modality,
            on: {
              click: () => {
                const { modalities } = this.#view;
                this.#change({
                  modalities: modalities.includes(modality)
                    ? modalities.filter((other) => other !== modality)
                    : [...modalities, modality],
                });
              },
            },
          },
          modality,
          ' ',
          make('span', { class: 'number' }, formatCount(count)),
        ),
      ),
    );
  }

  #sortBy(column) {
    const { column: now, descending } = this.#view;
    this.#change({ column, descending: column === now ? !descending : COLUMNS[column].descending });
  }

  #change(changes) {
    this.#view = { ...this.#view, ...changes };
    this.#show();
  }

  #listen() {
    elements.search.addEventListener('input', () => this.#change({ search: elements.search.value }));
    for (const name of ['from', 'to'])
      elements[name].addEventListener('change', () => this.#change({ [name]: elements[name].value }));
    elements.sorting.addEventListener('change', () => {
      const { value } = elements.sorting;
      this.#change({ column: value.replace('-', ''), descending: value.startsWith('-') });
    });
    elements.clear.addEventListener('click', () => {
      this.#change({ search: '', modalities: [], from: '', to: '' });
      elements.search.focus();
    });
    window.addEventListener('hashchange', () => {
      this.#view = readView(location.hash);
      if (this.#studies.length) this.#show();
    });
    // A step back may lead to an address that the viewer gave itself where this page is now.
    const { pathname } = location;
    window.addEventListener('popstate', () => location.pathname !== pathname && location.reload());
    window.addEventListener('pagehide', () => this.#studies.length && this.#writeNow({ scroll: window.scrollY }));
    document.addEventListener('keydown', (event) => this.#press(event));
  }

  /** A slash goes to the search, arrow keys go from study to study, Escape empties the search. */
  #press(event) {
    const { key, target } = event;
    if (
      event.defaultPrevented ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      document.querySelector('dialog[open]')
    )
      return;
    const isField = target.matches('input, select, textarea');
    if (key === '/' && !isField) {
      event.preventDefault();
      elements.search.focus();
      elements.search.select();
    } else if (key === 'Escape' && target === elements.search && elements.search.value) {
      event.preventDefault();
      this.#change({ search: '' });
    } else if (key === 'ArrowDown' && target === elements.search) this.#focusRow(event, 0);
    else if (['ArrowDown', 'ArrowUp', 'Home', 'End'].includes(key) && target.dataset.part) {
      const index = this.rows.items.indexOf(this.#studyOf(target));
      const next = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: this.rows.items.length - 1 }[key];
      if (next < 0) elements.search.focus();
      else this.#focusRow(event, next, target.dataset.part);
    } else if (['ArrowRight', 'ArrowLeft'].includes(key) && target.dataset.part) {
      event.preventDefault();
      this.#toggle(this.#studyOf(target), key === 'ArrowRight');
    }
  }

  #focusRow(event, index, part = 'open') {
    if (index >= this.rows.items.length) return;
    event.preventDefault();
    this.rows.reveal(index)?.querySelector(`[data-part="${part}"]`)?.focus({ preventScroll: true });
  }

  #studyOf(target) {
    const { uid } = target.closest('[data-uid]').dataset;
    return this.rows.items.find((study) => study.uid === uid);
  }

  #toggle(study, open) {
    this.rows.toggle(study, open);
    const others = this.#view.open.filter((uid) => uid !== study.uid);
    this.#view = { ...this.#view, open: (this.rows.isOpen(study) ? [...others, study.uid] : others).slice(-MOST_OPEN) };
    this.#writeAddress();
  }

  #makeRow(study, index) {
    const isOpen = this.rows.isOpen(study);
    return makeRow(study, {
      index,
      isOpen,
      archive: this.archive,
      pictures: this.#pictures,
      toggle: () => this.#toggle(study),
    });
  }

  #makePanel(study) {
    return make(
      'div',
      { role: 'cell', class: 'panel', 'aria-colspan': elements.columns.childElementCount },
      makeStudyPanel(study, this.archive, this.#pictures.missing),
    );
  }
}

/** What a search looks at in a study; made once. */
function textOfStudy(study) {
  study.text ??= searchText(study);
  return study.text;
}
