// Part of a Stillframe site.
// Rows of a list that may be very long: those in sight are in the document, and each may have a panel below it.

const OVERSCAN = 6; // rows above and below those in sight
const SETTLE_MS = 90; // pictures are asked for where scrolling stays this long
const TALLEST = 12_000_000; // pixels; browsers lay out less than 17 million in one piece

/** An element with attributes, listeners (`on`) and children. Texts become text, never markup. */
export function make(name, { on = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, '');
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(key, value);
  }
  for (const [type, listener] of Object.entries(on)) element.addEventListener(type, listener);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A drawing of lines in a box of 20 by 20. */
export function drawIcon(path, className = 'icon') {
  const space = 'http://www.w3.org/2000/svg';
  const [icon, line] = [document.createElementNS(space, 'svg'), document.createElementNS(space, 'path')];
  icon.setAttribute('viewBox', '0 0 20 20');
  icon.setAttribute('class', className);
  icon.setAttribute('aria-hidden', 'true');
  line.setAttribute('d', path);
  icon.append(line);
  return icon;
}

/**
 * A picture that is asked for when `show` is called; where there is none, `label` stands in its place.
 *
 * `missing` are URLs without a picture, which are not asked for again. `onShown` and `onMissing` are called when one is
 * there, or found to be missing.
 */
export function makePicture(url, label, missing, { onShown = () => {}, onMissing = () => {} } = {}) {
  const box = make('span', { class: 'picture', 'aria-hidden': 'true' }, make('span', { class: 'no-picture' }, label));
  let isAsked = false;
  const show = () => {
    if (isAsked || missing.has(url)) return;
    isAsked = true;
    const image = make('img', {
      alt: '',
      decoding: 'async',
      on: {
        load: () => {
          box.replaceChildren(image);
          onShown();
        },
        error: () => {
          missing.add(url);
          onMissing();
        },
      },
    });
    image.src = url;
  };
  return { box, show };
}

export class VirtualRows {
  #items = [];
  #shown = new Map(); // index -> { element, show }
  #panels = new Map(); // item -> { element, height }
  #opened = []; // indices of items with a panel, ascending
  #rowHeight = 1;
  #frame = 0;
  #settled = 0;

  /**
   * `rows` is the element that holds the rows. `makeRow(item, index)` returns `{ element, show }`: `show` is called once
   * the row stays in sight. `makePanel(item)` returns the element below an opened row. `above` may stick to the top of
   * the window, and cover rows there.
   */
  constructor(rows, { makeRow, makePanel, above }) {
    this.rows = rows;
    this.above = above;
    this.makeRow = makeRow;
    this.makePanel = makePanel;
    this.probe = make('div', { class: 'probe', 'aria-hidden': 'true', role: 'presentation' });
    rows.parentElement.after(this.probe);
    this.observer = new ResizeObserver((entries) => this.#measurePanels(entries));
    new ResizeObserver(() => this.#measureRows()).observe(this.probe);
    for (const [target, type] of [
      [window, 'scroll'],
      [window, 'resize'],
    ]) {
      target.addEventListener(type, () => this.#schedule(), { passive: true });
    }
    rows.addEventListener('focusin', () => this.#schedule());
    this.#measureRows();
  }

  /** How many of so many rows a browser can lay out. */
  get limit() {
    return Math.floor(TALLEST / this.#rowHeight);
  }

  get items() {
    return this.#items;
  }

  /** Shows other items, from the first on if the first ones were scrolled past. */
  setItems(items) {
    if (this.rows.getBoundingClientRect().top < 0) window.scrollTo({ top: 0 });
    const stale = [...this.#shown.values()];
    this.#shown.clear();
    this.#items = items.slice(0, this.limit);
    this.#order();
    this.#layOut();
    for (const { element } of stale) element.remove();
  }

  isOpen(item) {
    return this.#panels.has(item);
  }

  /** Opens or closes the panel below the row of an item. */
  toggle(item, open = !this.isOpen(item)) {
    const index = this.#items.indexOf(item);
    if (open === this.isOpen(item)) return;
    if (open) this.#panels.set(item, { element: this.makePanel(item), height: 0 });
    else {
      this.observer.unobserve(this.#panels.get(item).element);
      this.#panels.get(item).element.remove();
      this.#panels.delete(item);
    }
    this.#order();
    this.#renew(index);
    this.#layOut();
  }

  /** Brings the row of an index into sight, and returns its element. */
  reveal(index) {
    const top = this.rows.getBoundingClientRect().top + window.scrollY;
    const margin = getComputedStyle(this.above).position === 'sticky' ? this.above.offsetHeight : 0;
    const [start, end] = [top + this.#offsetOf(index) - margin, top + this.#offsetOf(index) + this.#rowHeight];
    if (start < window.scrollY) window.scrollTo({ top: start });
    else if (end > window.scrollY + window.innerHeight) window.scrollTo({ top: end - window.innerHeight });
    this.#layOut();
    return this.#shown.get(index)?.element;
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => this.#layOut());
  }

  #order() {
    this.#opened = [...this.#panels.keys()]
      .map((item) => this.#items.indexOf(item))
      .filter((index) => index >= 0)
      .sort((a, b) => a - b);
  }

  #offsetOf(index) {
    let offset = index * this.#rowHeight;
    for (const opened of this.#opened) {
      if (opened >= index) break;
      offset += this.#panels.get(this.#items[opened]).height;
    }
    return offset;
  }

  #indexAt(offset) {
    let above = 0;
    for (const opened of this.#opened) {
      const { height } = this.#panels.get(this.#items[opened]);
      const end = (opened + 1) * this.#rowHeight + above;
      if (offset < end) break;
      if (offset < end + height) return opened;
      above += height;
    }
    return Math.floor((offset - above) / this.#rowHeight);
  }

  #layOut() {
    this.#frame = 0;
    const above = -this.rows.getBoundingClientRect().top; // read before anything is written, or it costs a layout more
    this.rows.style.height = `${this.#offsetOf(this.#items.length)}px`;
    const first = Math.max(0, this.#indexAt(above) - OVERSCAN);
    const last = Math.min(this.#items.length - 1, this.#indexAt(above + window.innerHeight) + OVERSCAN);
    for (const [index, { element }] of this.#shown) {
      if ((index >= first && index <= last) || element.contains(document.activeElement)) continue;
      element.remove();
      this.#shown.delete(index);
    }
    for (let index = first; index <= last; index += 1) {
      if (!this.#shown.has(index)) this.#insert(index);
    }
    for (const [index, { element }] of this.#shown) element.style.transform = `translateY(${this.#offsetOf(index)}px)`;
    clearTimeout(this.#settled);
    this.#settled = setTimeout(() => this.#showPictures(), SETTLE_MS);
  }

  #insert(index) {
    const item = this.#items[index];
    const row = this.makeRow(item, index);
    const panel = this.#panels.get(item);
    if (panel) {
      row.element.append(panel.element);
      this.observer.observe(panel.element);
    }
    const later = [...this.#shown.keys()].filter((other) => other > index);
    const next = later.length ? this.#shown.get(Math.min(...later)).element : null;
    this.rows.insertBefore(row.element, next); // in order, for those who read or step through them
    this.#shown.set(index, row);
  }

  #renew(index) {
    const row = this.#shown.get(index);
    if (!row) return;
    const focused = row.element.contains(document.activeElement) ? document.activeElement.dataset.part : '';
    row.element.remove();
    this.#shown.delete(index);
    this.#insert(index);
    if (focused)
      this.#shown.get(index).element.querySelector(`[data-part="${focused}"]`)?.focus({ preventScroll: true });
  }

  #showPictures() {
    for (const { show } of this.#shown.values()) show();
  }

  #measureRows() {
    const height = this.probe.getBoundingClientRect().height || 1;
    if (height === this.#rowHeight) return;
    this.#rowHeight = height;
    this.#schedule();
  }

  #measurePanels(entries) {
    for (const { target } of entries) {
      const panel = [...this.#panels.values()].find(({ element }) => element === target);
      if (panel?.element.isConnected) panel.height = target.getBoundingClientRect().height;
    }
    this.#layOut();
  }
}
