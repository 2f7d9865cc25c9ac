// Part of a Stillframe site.
// What an archive's JSON lists say (PS3.18 10.6, F.2), as values that a page can show. Computes only.

const UID = /^[0-9]+(\.[0-9]+)*$/;
const TOKEN = /^[0-9A-Za-z_-]{16,128}$/;
const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/** Whether a text may stand in a URL as a UID (PS3.5 9.1). */
export const isUid = (text) => typeof text === 'string' && text.length <= 64 && UID.test(text);

/** What is wrong with the address of the page, in words for a person. */
export class AddressError extends Error {}

/** The service root: of an unlisted study, if `search` (`?root=TOKEN`) names one. Throws AddressError if it cannot be one. */
export function serviceRoot(root, search) {
  const token = new URLSearchParams(search).get('root');
  if (token === null) return root;
  if (!TOKEN.test(token)) throw new AddressError('The address of this page names a service root that cannot be one.');
  return `${root}/${token}`;
}

/** The values of an attribute; none if it is absent, empty or of an unexpected form. */
export function valuesOf(record, tag) {
  const values = record?.[tag]?.Value;
  return Array.isArray(values) ? values : [];
}

/** The first value of an attribute as text; "" if there is none. Of a person's name the first group that is there. */
export function textOf(record, tag) {
  for (const value of valuesOf(record, tag)) {
    const text = asText(value);
    if (text) return text;
  }
  return '';
}

/** A value of the JSON model as people read it. */
export function asText(value) {
  if (typeof value === 'string' || typeof value === 'number') return String(value).trim();
  if (value === null || typeof value !== 'object') return '';
  return formatName(value.Alphabetic) || formatName(value.Ideographic) || formatName(value.Phonetic);
}

/** One component group of a person's name, as "Family, Given Middle"; ideographs are not parted by a comma. */
export function formatName(group) {
  if (typeof group !== 'string') return '';
  const [family, given, middle, prefix, suffix] = group.split('^').map((part) => part.trim());
  const first = [prefix, given, middle].filter(Boolean).join(' ');
  const comma = /[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]/.test(group) ? ' ' : ', ';
  return [[family, first].filter(Boolean).join(comma), suffix].filter(Boolean).join(', ');
}

/** A DA as its 8 digits; older objects have dots between them (PS3.5 6.2). What is no date stays as it is. */
const dayOf = (date) => (/^\d{4}\.\d\d\.\d\d$/.test(date) ? date.replaceAll('.', '') : date);

/** A DA as 2024-03-17; what is no date stays as it is. */
export const formatDate = (date) =>
  /^\d{8}$/.test(date) ? `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` : date;

/** A count as 1,204. */
export const formatCount = new Intl.NumberFormat('en').format;

/** A TM as 14:05; "" for what is none. */
export const formatTime = (time) => (/^\d{4}/.test(time) ? `${time.slice(0, 2)}:${time.slice(2, 4)}` : '');

/** A study of the list `studies` (PS3.18 table 10.6.3-3). Its names are put into words when somebody asks. */
class Study {
  #words = null;

  constructor(uid, record) {
    const groups = valuesOf(record, '00100010').find((value) => value && typeof value === 'object') ?? {};
    this.uid = uid;
    this.names = [groups.Alphabetic, groups.Ideographic, groups.Phonetic].filter((group) => typeof group === 'string');
    this.patientId = textOf(record, '00100020');
    this.birthDate = dayOf(textOf(record, '00100030'));
    this.sex = textOf(record, '00100040');
    this.accession = textOf(record, '00080050');
    this.date = dayOf(textOf(record, '00080020'));
    this.time = textOf(record, '00080030');
    this.description = textOf(record, '00081030');
    this.modalities = valuesOf(record, '00080061').map(asText).filter(Boolean);
    this.seriesCount = countOf(record, '00201206');
    this.instanceCount = countOf(record, '00201208');
    this.text = null; // what searches look at, once one did
  }

  /** The patient's name by its first group. */
  get name() {
    return this.#read()[0] ?? '';
  }

  /** The patient's name by its other groups. */
  get otherNames() {
    return this.#read().slice(1);
  }

  #read() {
    this.#words ??= this.names.map(formatName).filter(Boolean);
    return this.#words;
  }
}

/** A record of the list `studies` as a study; null if its Study Instance UID cannot stand in a URL. */
export function readStudy(record) {
  const uid = textOf(record, '0020000D');
  return isUid(uid) ? new Study(uid, record) : null;
}

/** A record of a study's list of series (table 10.6.3-4); null if its UID cannot stand in a URL. */
export function readSeries(record) {
  const uid = textOf(record, '0020000E');
  if (!isUid(uid)) return null;
  return {
    uid,
    number: textOf(record, '00200011'),
    modality: textOf(record, '00080060'),
    description: textOf(record, '0008103E'),
    bodyPart: textOf(record, '00180015'),
    date: dayOf(textOf(record, '00080021')),
    instanceCount: countOf(record, '00201209'),
  };
}

/** A record of a series' list of instances (table 10.6.3-5); null if its UID cannot stand in a URL. */
export function readInstance(record) {
  const uid = textOf(record, '00080018');
  if (!isUid(uid)) return null;
  return {
    uid,
    sopClass: textOf(record, '00080016'),
    number: textOf(record, '00200013'),
    frameCount: countOf(record, '00280008'),
    rows: countOf(record, '00280010'),
    columns: countOf(record, '00280011'),
    transferSyntax: textOf(record, '00083002'),
  };
}

/** A count as a number; NaN where the list has none. */
function countOf(record, tag) {
  const text = textOf(record, tag);
  return /^\d+$/.test(text) ? Number(text) : NaN;
}

/**
 * Reads a JSON array while it arrives, so that a list of many megabytes is never parsed in one go.
 *
 * `push` takes bytes (UTF-8) and returns the items that are complete, `end` the last ones. Both throw SyntaxError for what
 * is no JSON array.
 */
export class ArrayReader {
  #rest = new Uint8Array(0); // from the end of the last complete item on
  #scanned = 0; // bytes of the rest that were looked at
  #depth = 0;
  #inString = false;
  #escaped = false;
  #first = true;

  push(bytes) {
    if (this.#rest.length) {
      const joined = new Uint8Array(this.#rest.length + bytes.length);
      joined.set(this.#rest);
      joined.set(bytes, this.#rest.length);
      bytes = joined;
    }
    const end = this.#scan(bytes);
    const items = end ? this.#parse(bytes.subarray(0, end), this.#depth > 0) : [];
    this.#rest = bytes.slice(end);
    this.#scanned = this.#rest.length;
    return items;
  }

  end() {
    if (this.#first || this.#depth || this.#rest.some((byte) => byte > 0x20)) {
      throw new SyntaxError('the list ends too early, or goes on behind its end');
    }
    return [];
  }

  /** Where the last complete item of the array ends, or the array itself; 0 if nothing new is complete. */
  #scan(bytes) {
    let [depth, inString, escaped, end] = [this.#depth, this.#inString, this.#escaped, 0];
    for (let index = this.#scanned; index < bytes.length; index += 1) {
      const byte = bytes[index];
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) inString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth += 1;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        depth -= 1;
        if (depth <= 1) end = index + 1;
        if (depth <= 0) break;
      }
    }
    [this.#depth, this.#inString, this.#escaped] = [depth, inString, escaped];
    return end;
  }

  /** The items in a piece of the array's text; the piece ends behind an item, or (not `open`) behind the array. */
  #parse(bytes, open) {
    let text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
    if (this.#first) {
      if (!text.startsWith('[')) throw new SyntaxError('not a list');
      this.#first = false;
    } else if (/^,\s*[^\s\]]/.test(text)) text = `[${text.slice(1)}`;
    else if (text === ']') return [];
    else throw new SyntaxError('no comma between the items of the list');
    return JSON.parse(open ? `${text}]` : text);
  }
}
