// Part of a Stillframe site.
// Where an archive's objects are, and reading them.
import { viewerRoute } from './study-content.js';
import { RecordReader } from './study-reader.js';

/** Why something could not be read, in words for a person. */
export class ReadError extends Error {}

export class Archive {
  /**
   * `root` is the URL of the DICOMweb service root, `hasViewer` says whether a viewer lies beside the page, `token` names
   * an unlisted root to the viewer ("" for none). UIDs given to the methods were checked with `isUid`.
   */
  constructor({ root, hasViewer, token = '' }) {
    this.root = root;
    this.hasViewer = hasViewer;
    this.token = token;
  }

  studies() {
    return `${this.root}/studies`;
  }

  /** The URL of a study, of one of its series, or of an instance; `leaf` is what follows. */
  url({ study, series = '', instance = '' }, leaf = '') {
    const below = [series && `series/${series}`, instance && `instances/${instance}`, leaf];
    return [this.root, 'studies', study, ...below].filter(Boolean).join('/');
  }

  /** The page that shows a study, at a series or instance of it; "" if there is no viewer, or none that shows it. */
  viewerUrl({ study, series = '', instance = '' }, modalities) {
    const route = this.hasViewer ? viewerRoute(modalities) : '';
    if (!route) return '';
    const words = {
      StudyInstanceUIDs: study,
      initialSeriesInstanceUID: series,
      initialSOPInstanceUID: instance,
      root: this.token,
    };
    return `${route}?${new URLSearchParams(Object.entries(words).filter(([, value]) => value))}`;
  }

  /** The URL of bulk data as metadata name it (RFC 3986, relative to them); null if it lies outside the archive. */
  bulkUrl(uri, metadataUrl) {
    const base = new URL(`${this.root}/`, document.baseURI);
    const from = new URL(metadataUrl, document.baseURI);
    if (!URL.canParse(uri, from)) return null;
    const url = new URL(uri, from);
    return url.origin === base.origin && url.pathname.startsWith(base.pathname) ? url.href : null;
  }
}

/** Limits what this page may load to its own origin and that of the archive, which is known only now. */
export function narrowPolicy(root) {
  const { origin, hostname } = new URL(root);
  if (hostname.startsWith('[')) return; // a policy cannot name an IPv6 address: it stays as wide as the page has it
  const from = `'self' ${origin}`;
  const content = `img-src ${from} data:; media-src ${from}; connect-src ${from}`;
  const meta = document.createElement('meta');
  [meta.httpEquiv, meta.content] = ['Content-Security-Policy', content];
  document.head.append(meta);
}

/** Fetches a URL. Throws a ReadError that says what happened. */
export async function fetchObject(url) {
  let response;
  try {
    response = await fetch(url);
  } catch {
    throw new ReadError('The server cannot be reached, or does not let this page read from it (CORS).');
  }
  if (response.ok) return response;
  const meaning = {
    401: 'Access is not granted (401).',
    403: 'Access is denied, or it is not there (403).',
    404: 'It is not there (404).',
  };
  throw new ReadError(meaning[response.status] ?? `The server answers with status ${response.status}.`);
}

/** A JSON array, whole. */
export async function readArray(url) {
  const response = await fetchObject(url);
  const value = await response.json().catch(() => null);
  if (!Array.isArray(value)) throw new ReadError('What the server sends is no list in JSON.');
  return value;
}

/** The metadata of one instance. */
export async function readMetadata(url) {
  const [metadata] = await readArray(url);
  if (!metadata || typeof metadata !== 'object') throw new ReadError('The metadata are empty.');
  return metadata;
}

/** A JSON array while it arrives: `take(items)` gets what is complete so far, as RecordReader has it, again and again. */
export async function readGrowing(url, take) {
  const response = await fetchObject(url);
  const reader = new RecordReader();
  const stream = response.body.getReader();
  for (let items = [], isOver = false; ; ({ items, isOver } = await readItems(stream, reader))) {
    take(items);
    if (isOver) return;
  }
}

/** The items that came next, and whether the list is over. */
async function readItems(stream, reader) {
  try {
    const { done, value } = await stream.read();
    return { items: done ? reader.end() : reader.push(value), isOver: done };
  } catch (error) {
    const isBroken = error instanceof SyntaxError || (error instanceof TypeError && /encod|utf/i.test(error.message));
    await stream.cancel().catch(() => {}); // it may have failed by itself
    throw new ReadError(
      isBroken ? `It is no list in JSON: ${error.message}.` : 'The connection broke before the end of the list.',
    );
  }
}
