// Part of a Stillframe site.
// The panel below a study: its series, and of each the instances with what can be done with them.
import { readArray, readMetadata, ReadError } from './study-archive.js';
import { kindOf, mayHavePicture, publishedObjects } from './study-content.js';
import { makeWholeLink, saveDocument, showCda, showMetadata, showOutline, showVideo } from './study-dialog.js';
import { formatCount, formatDate, readInstance, readSeries } from './study-list.js';
import { titleOf } from './study-outline.js';
import { drawIcon, make, makePicture } from './study-rows.js';

const PAGE = 50; // instances at a time
const READ_UNASKED = 60; // a series without pictures of at most so many is looked into by itself
const SHOWN_UNASKED = 6;
const CHEVRON = 'm5 8 5 5 5-5';

/** "1 instance", "1,204 instances"; "" for an unknown count. */
export function countWord(count, one, many = `${one}s`) {
  return Number.isNaN(count) ? '' : `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** The panel of a study. `missing` are URLs of pictures that are known not to be there. */
export function makeStudyPanel(study, archive, missing) {
  const list = make('ul', { class: 'series-list', 'aria-label': 'Series' });
  const status = make('p', { class: 'hint', role: 'status' }, 'Loading the series …');
  const panel = make('div', { class: 'panel-body' }, makeStudyFacts(study, archive), status, list);
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        target.dispatchEvent(new Event('insight'));
      }
    },
    { rootMargin: '200px' },
  );

  async function load() {
    status.replaceChildren('Loading the series …');
    try {
      const series = (await readArray(archive.url({ study: study.uid }, 'series'))).map(readSeries).filter(Boolean);
      const items = series.map((one) => makeSeries(one, study, archive, missing));
      list.replaceChildren(...items);
      for (const item of items) observer.observe(item);
      status.hidden = series.length > 0;
      status.textContent = series.length ? '' : 'The study has no series.';
    } catch (error) {
      showFailure(status, error, load);
    }
  }
  load();
  return panel;
}

/** Says what failed, with a button to try again. Errors of the program are thrown on. */
export function showFailure(element, error, again) {
  if (!(error instanceof ReadError)) throw error;
  element.hidden = false;
  element.replaceChildren(
    `${error.message} `,
    make('button', { type: 'button', class: 'quiet', on: { click: again } }, 'Try again'),
  );
}

function makeStudyFacts(study, archive) {
  const facts = [
    ['Patient', [study.name, ...study.otherNames].join(' · ')],
    ['Patient ID', study.patientId],
    ['Born', formatDate(study.birthDate)],
    ['Sex', study.sex],
    ['Accession', study.accession],
    ['Study UID', study.uid],
  ].filter(([, value]) => value);
  const pairs = facts.map(([term, value]) =>
    make(
      'div',
      {},
      make('dt', {}, term),
      make('dd', { dir: 'auto', class: term === 'Study UID' ? 'uid' : false }, value),
    ),
  );
  const documents = ['series', 'instances', 'metadata'].map((leaf) =>
    make('a', { href: archive.url({ study: study.uid }, leaf) }, leaf),
  );
  const json = make('div', {}, make('dt', {}, 'JSON'), make('dd', { class: 'documents' }, ...documents));
  return make('dl', { class: 'facts' }, ...pairs, json);
}

function makeSeries(series, study, archive, missing) {
  const place = { study: study.uid, series: series.uid };
  const url = archive.url(place, 'thumbnail');
  const picture = makePicture(url, series.modality || '–', missing, { onMissing: () => list.look() });
  const title = [series.number, series.description || 'No description'].filter(Boolean).join(' · ');
  const details = [countWord(series.instanceCount, 'instance'), series.bodyPart, formatDate(series.date)]
    .filter(Boolean)
    .join(' · ');
  const parts = {
    about: make('div', { class: 'hint', dir: 'auto' }, details),
    actions: make('div', { class: 'actions' }),
    instances: make('div', { class: 'instances', hidden: true }),
    failure: make('p', { class: 'failure', role: 'alert', hidden: true }),
  };
  const list = new InstanceList({ series, title, place, archive, parts });
  const look = () => (mayHavePicture(series.modality) && !missing.has(url) ? picture.show() : list.look());
  return make(
    'li',
    { class: 'series', on: { insight: look } },
    picture.box,
    make(
      'div',
      { class: 'series-text' },
      make(
        'div',
        { class: 'series-title', dir: 'auto' },
        make('span', { class: 'modality' }, series.modality || '–'),
        ' ',
        title,
      ),
      parts.about,
    ),
    parts.actions,
    parts.failure,
    parts.instances,
  );
}

/** The instances of a series, read once they are asked for, or by themselves where they may be no pictures. */
class InstanceList {
  #instances = null;
  #reading = null;

  constructor({ series, title, place, archive, parts }) {
    Object.assign(this, { series, place, archive, parts });
    const open = archive.viewerUrl(place, [series.modality]);
    this.link = open
      ? make('a', { class: 'action main', href: open, 'aria-label': `Open series ${title}` }, 'Open')
      : null;
    this.button = make(
      'button',
      {
        type: 'button',
        class: 'action',
        'aria-expanded': 'false',
        'aria-label': `Instances of series ${title}`,
        on: { click: () => this.toggle() },
      },
      'Instances',
      drawIcon(CHEVRON),
    );
    parts.actions.append(...[this.link, this.button].filter(Boolean));
  }

  toggle(open = this.parts.instances.hidden) {
    this.parts.instances.hidden = !open;
    this.button.setAttribute('aria-expanded', String(open));
    if (open && !this.parts.instances.childElementCount) this.#show();
  }

  /** What the series holds may be documents, which have no picture: what can be done with those is shown at once. */
  async look() {
    if (this.series.instanceCount > READ_UNASKED) return;
    const found = await this.#read().catch(() => null); // told when somebody asks
    if (!found) return;
    const kinds = found.map(kindOf);
    if (!kinds.some(({ viewer }) => viewer)) this.link?.remove();
    if (!kinds.some(({ kind }) => kind !== 'image' && kind !== 'slide')) return;
    if (found.length === 1) this.#showOnly(found[0], kinds[0]);
    else if (found.length <= SHOWN_UNASKED) this.toggle(true);
  }

  /** The one document of a series stands in the row of the series. */
  #showOnly(instance, kind) {
    const href = kind.viewer && this.link?.href;
    this.parts.actions.replaceChildren();
    this.parts.about.prepend(make('span', { class: 'what' }, kind.label), ' · ');
    const { actions, failure, about } = this.parts;
    addActions({
      archive: this.archive,
      place: { ...this.place, instance: instance.uid },
      kind,
      href,
      title: about.firstChild,
      actions,
      failure,
    });
  }

  #read() {
    this.#reading ??= readArray(this.archive.url(this.place, 'instances')).then(
      (records) => (this.#instances = records.map(readInstance).filter(Boolean)),
      (error) => {
        this.#reading = null;
        throw error;
      },
    );
    return this.#reading;
  }

  async #show() {
    const status = make('p', { class: 'hint', role: 'status' }, 'Loading the instances …');
    this.parts.instances.replaceChildren(status);
    try {
      await this.#read();
      this.parts.instances.replaceChildren(make('ul', {}));
      this.#showMore(0);
    } catch (error) {
      showFailure(status, error, () => this.#show());
    }
  }

  #showMore(start) {
    const next = this.#instances
      .slice(start, start + PAGE)
      .map((instance) => makeInstance(instance, this.place, this.series.modality, this.archive));
    this.parts.instances.querySelector('ul').append(...next);
    this.parts.instances.querySelector(':scope > button')?.remove();
    const rest = this.#instances.length - start - PAGE;
    if (rest <= 0) return;
    const more = make(
      'button',
      { type: 'button', class: 'action', on: { click: () => this.#showMore(start + PAGE) } },
      `${Math.min(rest, PAGE)} more of ${rest}`,
    );
    this.parts.instances.append(more);
  }
}

function makeInstance(instance, seriesPlace, modality, archive) {
  const kind = kindOf(instance);
  const size = instance.rows > 0 && instance.columns > 0 ? `${instance.columns} × ${instance.rows}` : '';
  const frames = instance.frameCount > 1 ? countWord(instance.frameCount, 'frame') : '';
  const title = make(
    'span',
    { class: 'instance-title', dir: 'auto' },
    [instance.number, kind.label].filter(Boolean).join(' · '),
  );
  const actions = make('div', { class: 'actions' });
  const failure = make('p', { class: 'failure', role: 'alert', hidden: true });
  const place = { ...seriesPlace, instance: instance.uid };
  const href = (kind.kind === 'image' || kind.kind === 'slide') && archive.viewerUrl(place, [modality]);
  addActions({ archive, place, kind, href, title, actions, failure });
  return make(
    'li',
    { class: 'instance' },
    title,
    make('span', { class: 'hint' }, [size, frames].filter(Boolean).join(' · ')),
    actions,
    failure,
  );
}

/** Adds what can be done with an instance to `actions`, and what it is called to `title`; `href` shows it in the viewer. */
function addActions({ archive, place, kind, href, title, actions, failure }) {
  const tell = (error) => {
    if (!(error instanceof ReadError)) throw error;
    [failure.hidden, failure.textContent] = [false, error.message];
  };
  const button = (label, act, className = '') =>
    make(
      'button',
      {
        type: 'button',
        class: `action ${className}`,
        on: {
          click: () => {
            failure.hidden = true;
            Promise.resolve(act()).catch(tell);
          },
        },
      },
      label,
    );
  const isText = kind.kind === 'outline' || kind.kind === 'report';
  const atOnce = [
    isText && button('Read', () => showOutline(archive, place, kind), 'main'),
    href && make('a', { class: 'action', href }, 'Open in the viewer'),
    button('Metadata', () => showMetadata(archive, place)),
  ];
  actions.append(...atOnce.filter(Boolean));
  if (!kind.large) addDocumentActions({ archive, place, kind, title, actions, button }).catch(tell);
}

/** What else can be done follows from the metadata: which objects there are, and what they hold. */
async function addDocumentActions({ archive, place, kind, title, actions, button }) {
  const metadata = await readMetadata(archive.url(place, 'metadata'));
  const { whole, rendered } = publishedObjects(metadata);
  const save = () => saveDocument(archive, place, metadata, kind.extension);
  const pdf = { class: 'action main', href: archive.url(place, 'rendered'), target: '_blank', rel: 'noopener' };
  const first = {
    pdf: () => [rendered ? make('a', pdf, 'Open PDF') : button('Download PDF', save, 'main')],
    video: () => [rendered && button('Play', () => showVideo(archive, place), 'main')],
    cda: () => [button('Read', () => showCda(archive, place, metadata), 'main'), button('Download XML', save)],
    model: () => [button(`Download ${kind.extension.toUpperCase()}`, save, 'main')],
  }[kind.kind];
  const link = whole && makeWholeLink(archive, place);
  if (link) link.className = 'action';
  actions.prepend(...(first?.() ?? []).filter(Boolean));
  actions.append(...[link].filter(Boolean));
  const name = titleOf(metadata);
  if (name) title.append(` · ${name}`);
}
