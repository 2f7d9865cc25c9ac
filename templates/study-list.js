// Part of a Stillframe site.
// What an archive's JSON lists say (PS3.18 10.6, F.2), as values that a page can show. Computes only.

const UID = /^[0-9]+(\.[0-9]+)*$/;
const TOKEN = /^[0-9A-Za-z_-]{16,128}$/;

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

/**
 * A study of the list `studies` (PS3.18 table 10.6.3-3).
 *
 * `record` is its record, or the line that holds it: what says by what it is sorted and counted is read at once, the rest
 * when somebody asks. `isDamaged` says then that the line holds no JSON; what it would have told is empty.
 */
class Study {
  #record;
  #about = null;
  #words = null;

  constructor(record, { uid, date, time, modalities }) {
    this.#record = record;
    this.uid = uid;
    this.date = dayOf(date);
    this.time = time;
    this.modalities = modalities;
    this.isDamaged = false;
    this.text = null; // what searches look at, once one did
  }

  get names() {
    return this.#read().names;
  }

  get patientId() {
    return this.#read().patientId;
  }

  get birthDate() {
    return this.#read().birthDate;
  }

  get sex() {
    return this.#read().sex;
  }

  get accession() {
    return this.#read().accession;
  }

  get description() {
    return this.#read().description;
  }

  get seriesCount() {
    return this.#read().seriesCount;
  }

  get instanceCount() {
    return this.#read().instanceCount;
  }

  /** The patient's name by its first group. */
  get name() {
    return this.#readNames()[0] ?? '';
  }

  /** The patient's name by its other groups. */
  get otherNames() {
    return this.#readNames().slice(1);
  }

  #readNames() {
    this.#words ??= this.names.map(formatName).filter(Boolean);
    return this.#words;
  }

  #read() {
    if (this.#about) return this.#about;
    const record = typeof this.#record === 'string' ? parseRecord(this.#record) : this.#record;
    this.isDamaged = record === null;
    const groups = valuesOf(record, '00100010').find((value) => value && typeof value === 'object') ?? {};
    this.#about = {
      names: [groups.Alphabetic, groups.Ideographic, groups.Phonetic].filter((group) => typeof group === 'string'),
      patientId: textOf(record, '00100020'),
      birthDate: dayOf(textOf(record, '00100030')),
      sex: textOf(record, '00100040'),
      accession: textOf(record, '00080050'),
      description: textOf(record, '00081030'),
      seriesCount: countOf(record, '00201206'),
      instanceCount: countOf(record, '00201208'),
    };
    this.#record = null;
    return this.#about;
  }
}

/** The record that a line holds; null if that is no JSON. */
function parseRecord(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/** A record of the list `studies`, or its line, as a study; null if its Study Instance UID cannot stand in a URL. */
export function readStudy(record) {
  const found = typeof record === 'string' ? readLine(record) : readRecord(record);
  return found && isUid(found.uid) ? new Study(record, found) : null;
}

function readRecord(record) {
  return {
    uid: textOf(record, '0020000D'),
    date: textOf(record, '00080020'),
    time: textOf(record, '00080030'),
    modalities: valuesOf(record, '00080061').map(asText).filter(Boolean),
  };
}

/** The same from a line. What stands there in another form than archives write is parsed; null if it is no JSON. */
function readLine(line) {
  const values = line.includes('SQ"') ? [null] : QUICK.map((start) => quickValues(line, start));
  if (values.includes(null)) {
    const record = parseRecord(line);
    return record && readRecord(record);
  }
  const [[uid = ''], [date = ''], [time = ''], modalities] = values;
  return { uid, date, time, modalities };
}

const QUICK = ['"0020000D":{"vr":"UI"', '"00080020":{"vr":"DA"', '"00080030":{"vr":"TM"', '"00080061":{"vr":"CS"'];
const TAG_LENGTH = 10;
const VALUE = ',"Value":["';

/** The values of an attribute in a line that are not empty; null if only parsing can tell. */
function quickValues(line, start) {
  const index = line.indexOf(start);
  if (index < 0) return line.includes(start.slice(0, TAG_LENGTH)) ? null : [];
  const begin = index + start.length;
  if (line[begin] === '}') return [];
  const end = line.indexOf('"]}', begin);
  if (!line.startsWith(VALUE, begin) || end < 0) return null;
  const text = line.slice(begin + VALUE.length, end);
  if (text.includes('\\')) return null;
  const values = text.includes('"') ? text.split('","').map((value) => value.trim()) : [text.trim()];
  return values.some((value) => value.includes('"')) ? null : values.filter(Boolean);
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
