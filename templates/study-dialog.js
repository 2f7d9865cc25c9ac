// Part of a Stillframe site.
// What is shown above the page: reports and other contents to read, metadata, videos.
import { fetchObject, readMetadata, ReadError } from './study-archive.js';
import { decodeXml, documentOf, kindOf, publishedObjects } from './study-content.js';
import { asText, isUid } from './study-list.js';
import { outlineOf, titleOf } from './study-outline.js';
import { make } from './study-rows.js';

const LONGEST_VALUE = 400; // characters of a value in the metadata
const DEEPEST = 64; // elements of a narrative within each other
const MOST_VALUES = 40;
const MOST_ITEMS = 50; // of a sequence, at a time
const XML_ONLY = globalThis.trustedTypes?.createPolicy('stillframe-xml', { createHTML: (text) => text });

let dialog = null;

/** Opens the dialog with a title and content; returns the element that holds the content. */
export function openDialog(title, ...content) {
  if (!dialog) {
    dialog = make('dialog', {
      class: 'dialog',
      'aria-labelledby': 'dialog-title',
      on: {
        click: (event) => event.target === dialog && dialog.close(), // beside it
        close: () => dialog.querySelector('.body').replaceChildren(), // ends what plays
      },
    });
    const close = make('button', { type: 'button', class: 'quiet', on: { click: () => dialog.close() } }, 'Close');
    dialog.append(
      make('div', { class: 'bar' }, make('h2', { id: 'dialog-title', dir: 'auto' }), close),
      make('div', { class: 'body', tabindex: '0' }),
    );
    document.body.append(dialog);
  }
  dialog.querySelector('h2').textContent = title;
  const body = dialog.querySelector('.body');
  body.replaceChildren(...content);
  if (!dialog.open) dialog.showModal();
  body.scrollTop = 0;
  return body;
}

/** Opens the dialog with what `load` returns, once it is there, or with the reason why it is not. */
async function openLoaded(title, load) {
  const waiting = make('p', { class: 'hint', role: 'status' }, 'Loading …');
  const body = openDialog(title, waiting);
  try {
    const content = await load();
    if (waiting.isConnected) body.replaceChildren(...content);
  } catch (error) {
    if (!(error instanceof ReadError)) throw error;
    if (waiting.isConnected) body.replaceChildren(make('p', { class: 'failure', role: 'alert' }, error.message));
  }
}

/** The contents of an instance as a text to read: a report's tree, a plan's beams, a segmentation's segments. */
export function showOutline(archive, place, kind) {
  return openLoaded(kind.label, async () => {
    const metadata = await readMetadata(archive.url(place, 'metadata'));
    if (titleOf(metadata)) dialog.querySelector('h2').textContent = titleOf(metadata);
    const nodes = outlineOf(metadata);
    const empty = nodes.length
      ? null
      : make('p', { class: 'hint' }, 'Its metadata hold nothing that this page knows how to show.');
    return [empty, makeOutline(nodes, archive, place.study), makeFooter(archive, place, metadata)].filter(Boolean);
  });
}

/** All metadata of an instance. */
export function showMetadata(archive, place) {
  return openLoaded('Metadata', async () => {
    const names = import('./study-names.js').then(
      ({ NAMES }) => NAMES,
      () => ({}),
    ); // tags alone say what they are, too
    const metadata = await readMetadata(archive.url(place, 'metadata'));
    return [makeElements(metadata, await names), makeFooter(archive, place, metadata)];
  });
}

/** A video, played; what the browser cannot play can be saved. */
export function showVideo(archive, place) {
  const url = archive.url(place, 'rendered');
  const sorry = make(
    'p',
    { class: 'failure', role: 'alert', hidden: true },
    'This browser cannot play the video. Save it, and open it with a player.',
  );
  const video = make('video', {
    controls: true,
    autoplay: true,
    playsinline: true,
    on: {
      error: () => ([sorry.hidden, video.hidden] = [false, true]),
    },
  });
  video.src = url;
  const save = make('a', { href: url, download: `${place.instance}.mp4` }, 'Save the video');
  openDialog('Video', video, sorry, make('p', { class: 'footer' }, save));
}

/** The text of a CDA document: its title, and the narrative of its sections (HL7 CDA R2 4.3.5). */
export function showCda(archive, place, metadata) {
  return openLoaded(titleOf(metadata) || 'CDA document', async () => {
    const text = decodeXml(await readDocument(archive, place, metadata));
    const parsed = new DOMParser().parseFromString(XML_ONLY ? XML_ONLY.createHTML(text) : text, 'application/xml');
    if (parsed.querySelector('parsererror'))
      throw new ReadError('The document is no well-formed XML. It can be downloaded.');
    const sections = [...parsed.getElementsByTagNameNS('*', 'section')];
    const content = sections.flatMap((section) => [...section.children].flatMap((element) => makeNarrative(element)));
    return content.length
      ? content
      : [make('pre', {}, parsed.documentElement.textContent.replace(/\s*\n\s*/g, '\n').trim())];
  });
}

function makeNarrative(element) {
  if (element.localName === 'title') return [make('h3', { dir: 'auto' }, element.textContent)];
  return element.localName === 'text'
    ? [make('div', { class: 'narrative', dir: 'auto' }, ...[...element.childNodes].map((child) => copyNarrative(child)))]
    : [];
}

/** A piece of a narrative block in HTML: what it is built of is told by its names, all else is text. */
function copyNarrative(node, depth = 0) {
  if (node.nodeType !== Node.ELEMENT_NODE)
    return node.nodeType === Node.TEXT_NODE || node.nodeType === Node.CDATA_SECTION_NODE ? node.data : '';
  if (depth > DEEPEST) return node.textContent;
  const names = {
    paragraph: 'p',
    list: 'ul',
    item: 'li',
    table: 'table',
    thead: 'thead',
    tbody: 'tbody',
    tfoot: 'tfoot',
    tr: 'tr',
    th: 'th',
    td: 'td',
    caption: 'strong',
    br: 'br',
    sub: 'sub',
    sup: 'sup',
  };
  const spans = ['colspan', 'rowspan'].map((name) => [name, node.getAttribute(name)]);
  return make(
    Object.hasOwn(names, node.localName) ? names[node.localName] : 'span',
    Object.fromEntries(spans.filter(([, value]) => /^[1-9]\d{0,2}$/.test(value ?? ''))),
    ...[...node.childNodes].map((child) => copyNarrative(child, depth + 1)),
  );
}

/** Saves the encapsulated document of an instance (0042,0011) as a file. */
export async function saveDocument(archive, place, metadata, extension) {
  const bytes = await readDocument(archive, place, metadata);
  // Never the media type that the file claims: what is saved is data, and no page of this origin.
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/octet-stream' }));
  const link = make('a', { href: url, download: `${place.instance}.${extension}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

async function readDocument(archive, place, metadata) {
  const source = documentOf(metadata);
  if (!source) throw new ReadError('The object holds no document.');
  let bytes;
  if (source.uri) {
    const url = archive.bulkUrl(source.uri, archive.url(place, 'metadata'));
    if (!url) throw new ReadError('The metadata name a document outside this archive.');
    bytes = new Uint8Array(await (await fetchObject(url)).arrayBuffer());
  } else bytes = fromBase64(source.base64);
  return bytes.subarray(0, source.length);
}

function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    throw new ReadError('The metadata hold a damaged document.');
  }
}

function makeOutline(nodes, archive, study) {
  const items = nodes.map(({ label, text, items: below, reference }) => {
    const link = reference && makeReference(reference, text, archive, study);
    const isSection = below.length > 0 && !text;
    const head = [
      label && make(isSection ? 'strong' : 'span', { class: 'term', dir: 'auto' }, label),
      ' ',
      link ?? (text && make('span', { class: 'value', dir: 'auto' }, text)),
    ];
    return make('li', {}, ...head, below.length ? makeOutline(below, archive, study) : null);
  });
  return make('ul', { class: 'outline' }, ...items);
}

function makeReference({ instance, series, study, sopClass }, text, archive, own) {
  const modality = kindOf({ sopClass, transferSyntax: '', rows: 1 }).kind === 'slide' ? 'SM' : '';
  const href = series && archive.viewerUrl({ study: study || own, series, instance }, [modality]);
  const name = make('span', { class: 'uid' }, instance);
  return make('span', { class: 'value' }, href ? make('a', { href }, text) : text, ' ', name);
}

/** The elements of a data set; items of sequences are made once somebody opens them, since there may be thousands. */
function makeElements(dataset, names) {
  const rows = Object.entries(dataset).filter(([tag]) => /^[0-9A-F]{8}$/.test(tag));
  return make('ul', { class: 'elements' }, ...rows.map(([tag, element]) => makeElement(tag, element, names)));
}

function makeElement(tag, element, names) {
  const title = make(
    'span',
    {},
    make('span', { class: 'tag' }, `(${tag.slice(0, 4)},${tag.slice(4)}) ${element?.vr ?? ''}`),
    ' ',
    make('span', { class: 'hint' }, Object.hasOwn(names, tag) ? names[tag] : ''),
    ' ',
  );
  const items = element?.vr === 'SQ' && Array.isArray(element.Value) ? element.Value : null;
  if (!items) return make('li', {}, title, make('span', { class: 'value', dir: 'auto' }, valueText(element)));
  const list = make('ul', { class: 'elements' });
  const showItems = (start) => {
    const shown = items
      .slice(start, start + MOST_ITEMS)
      .map((item, index) =>
        make('li', {}, make('span', { class: 'hint' }, `Item ${start + index + 1}`), makeElements(item ?? {}, names)),
      );
    list.append(...shown);
    const rest = items.length - start - MOST_ITEMS;
    if (rest <= 0) return;
    const more = make(
      'button',
      {
        type: 'button',
        class: 'action',
        on: {
          click: () => {
            more.remove();
            showItems(start + MOST_ITEMS);
          },
        },
      },
      `${Math.min(rest, MOST_ITEMS)} more of ${rest}`,
    );
    list.append(more);
  };
  const count = make('span', { class: 'value' }, items.length === 1 ? '1 item' : `${items.length} items`);
  const open = () => list.childElementCount || showItems(0);
  return make('li', {}, make('details', { on: { toggle: open } }, make('summary', {}, title, count), list));
}

function valueText(element) {
  if (typeof element?.BulkDataURI === 'string') return 'stored apart, as bulk data';
  if (typeof element?.InlineBinary === 'string') return `${Math.floor(element.InlineBinary.length * 0.75)} bytes`;
  const values = Array.isArray(element?.Value) ? element.Value : [];
  const texts = values
    .slice(0, MOST_VALUES)
    .map((value) =>
      value && typeof value === 'object'
        ? [value.Alphabetic, value.Ideographic, value.Phonetic].filter(Boolean).join(' = ')
        : asText(value),
    );
  const text = texts.join(' \\ ') + (values.length > MOST_VALUES ? ` … (${values.length} values)` : '');
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)} …` : text;
}

function makeFooter(archive, place, metadata) {
  const whole = publishedObjects(metadata).whole && makeWholeLink(archive, place);
  return make(
    'p',
    { class: 'footer' },
    whole || null,
    make('a', { href: archive.url(place, 'metadata') }, 'Metadata as JSON'),
  );
}

/** A link that saves the whole Part 10 object. */
export function makeWholeLink(archive, place) {
  if (!isUid(place.instance)) return null;
  return make('a', { href: archive.url(place), download: `${place.instance}.dcm` }, 'Download DICOM');
}
