// Part of a Stillframe site.
// Which studies a search finds, in which order, and how a view of the list is written into an address. Computes only.

const DAKUTEN_FREE_KANA = /[\u30a1-\u30f6]/g; // katakana, which become hiragana
const LETTERS_WITHOUT_DECOMPOSITION = { ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', ł: 'l', đ: 'd', ð: 'd', þ: 'th', ı: 'i' };
const SPECIAL = new RegExp(`[${Object.keys(LETTERS_WITHOUT_DECOMPOSITION).join('')}]`, 'g');
const SEPARATORS = /[,;^=\s]+/g; // between the parts of names, in DICOM and as people write them
const FIELDS = ['names', 'patientId', 'accession', 'description', 'modalities', 'uid'];
const FIELD_WORDS = {
  name: 'names',
  patient: 'names',
  id: 'patientId',
  acc: 'accession',
  accession: 'accession',
  desc: 'description',
  description: 'description',
  mod: 'modalities',
  modality: 'modalities',
  uid: 'uid',
  date: 'date',
};
const LATEST = '99999999';

/** The columns that a list can be sorted by: how each is read, and whether the greatest come first at the first click. */
export const COLUMNS = {
  name: { read: (study) => naturalKey(study.name), descending: false },
  id: { read: (study) => naturalKey(study.patientId), descending: false },
  date: { read: (study) => study.date && `${study.date} ${study.time}`, descending: true },
  description: { read: (study) => naturalKey(study.description), descending: false },
  accession: { read: (study) => naturalKey(study.accession), descending: false },
  modality: { read: (study) => study.modalities.join(' '), descending: false },
  series: { read: (study) => study.seriesCount, descending: true },
  instances: { read: (study) => study.instanceCount, descending: true },
};

/** Text as it is compared: without case, accents, width of characters, or the difference of the two kana. */
export function fold(text) {
  const lower = text.toLowerCase();
  if (/^[\x00-\x7f]*$/.test(lower)) return lower;
  return lower
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(SPECIAL, (letter) => LETTERS_WITHOUT_DECOMPOSITION[letter])
    .replace(DAKUTEN_FREE_KANA, (kana) => String.fromCharCode(kana.charCodeAt(0) - 0x60));
}

/** What sorts text so that P2 comes before P10. */
const naturalKey = (text) => fold(text).replace(/\d+/g, (digits) => digits.padStart(12, '0'));

const simplify = (text) => fold(text).replace(SEPARATORS, ' ').trim();

/** What a search looks at in a study: its fields, folded, a line each. Names without spaces are found as well. */
export function searchText(study) {
  const names = study.names.map(simplify);
  const joined = names.filter((name) => /[^\x00-\x7f]/.test(name)).map((name) => name.replaceAll(' ', ''));
  const lines = { names: [...names, ...joined].join(' '), modalities: study.modalities.join(' ') };
  return FIELDS.map((field) => simplify(lines[field] ?? study[field])).join('\n');
}

/**
 * What finds studies: a function of a study and its search text.
 *
 * Every word of the search has to be found somewhere: in names, Patient ID, accession number, description, modalities or
 * Study Instance UID, or as a date. `modalities` are those that there are: a word that is one of them is looked for as a
 * whole word. `name:`, `id:`, `acc:`, `desc:`, `mod:`, `uid:` and `date:` limit a word, "…" holds words together.
 */
export function compileSearch(text, modalities = []) {
  const known = new Set(modalities.map(fold));
  const tests = [];
  for (const [, field, phrase, bare] of text.matchAll(/(?:([a-z]+):)?(?:"([^"]*)"?|([^\s"]+))/gi)) {
    const limit = FIELD_WORDS[field?.toLowerCase()];
    if (FIELD_WORDS[/^([a-z]+):$/i.exec(bare ?? '')?.[1].toLowerCase()]) continue; // its word is still to be typed
    const word = phrase ?? bare;
    const whole = limit || !field ? word : `${field}:${word}`; // a colon that is no field's
    if (limit === 'date') tests.push(...asList(dateTest(whole) ?? noDateTest(whole)));
    else if (phrase !== undefined) tests.push(...asList(wordTest(simplify(whole), limit, known)));
    else {
      const dates = limit ? null : dateTest(whole);
      const words = simplify(whole)
        .split(' ')
        .filter(Boolean)
        .map((part) => wordTest(part, limit, known));
      if (dates)
        tests.push((study, found) => dates(study) || (words.length > 0 && words.every((test) => test(study, found))));
      else tests.push(...words);
    }
  }
  return tests.length === 1 ? tests[0] : (study, found) => tests.every((test) => test(study, found));
}

const asList = (test) => (test ? [test] : []);

function wordTest(word, field, known) {
  if (!word) return null;
  const line = FIELDS.indexOf(field);
  if (line >= 0 && field !== 'modalities') return (_study, found) => found.split('\n', line + 1)[line].includes(word);
  if (field !== 'modalities' && !known.has(word)) return (_study, found) => found.includes(word);
  const asWord = new RegExp(`(?<![\\p{L}\\p{N}])${word.replace(/[^\p{L}\p{N}]/gu, '\\$&')}(?![\\p{L}\\p{N}])`, 'u');
  if (field) return (study) => study.modalities.some((own) => fold(own) === word);
  return (_study, found) => found.includes(word) && asWord.test(found);
}

/** No study is of a day that is none; what may become one, as it is typed, is not looked for yet. */
const noDateTest = (word) => (/^[\d.<>=/–-]*$/.test(word) ? null : () => false);

/** A test for a date (2024, 2024-03, 20240317, 17.03.2024) or a range of them (2023..2024-02, >2020); null if it is none. */
function dateTest(word) {
  const range = readDates(word);
  if (!range) return null;
  const [from, to] = range;
  return (study) => /^\d{8}$/.test(study.date) && study.date >= from && study.date <= to;
}

/** The first and last day that a word means, as text of 8 digits; null if it means none. Half a date is its prefix. */
export function readDates(word) {
  const parts = /^(.*?)\.\.(.*)$/.exec(word) ?? /^(\d{8}|\d{4})?[-–](\d{8}|\d{4})?$/.exec(word);
  if (parts && (parts[1] || parts[2])) {
    const [from, to] = [parts[1] ? readDay(parts[1]) : '', parts[2] ? readDay(parts[2]) : ''];
    return from === null || to === null ? null : [from.padEnd(8, '0'), to ? to.padEnd(8, '9') : LATEST];
  }
  const [, sign, single] = /^([<>]=?)?(.*)$/.exec(word);
  const day = readDay(single);
  if (!day) return null;
  const [first, last] = [day.padEnd(8, '0'), day.padEnd(8, '9')];
  if (!sign) return [first, last];
  if (sign.startsWith('>')) return [sign === '>' ? String(Number(last) + 1) : first, LATEST];
  return ['00000000', sign === '<' ? String(Number(first) - 1) : last];
}

/** The digits of a date that may be cut anywhere behind its year; null if it is none. */
function readDay(text) {
  const reversed = /^(\d{1,2})\.(\d{1,2})\.(\d{4})$/.exec(text);
  if (reversed) return reversed[3] + reversed[2].padStart(2, '0') + reversed[1].padStart(2, '0');
  const parts = /^((?:1[89]|2[01])\d\d)(?:[-/.](\d{0,2})(?:[-/.](\d{0,2}))?)?$/.exec(text);
  if (parts) {
    const [, year, month = '', day = ''] = parts;
    const whole = parts[3] !== undefined || /[2-9]/.test(month.slice(0, 1)); // a month that no digit can follow
    return year + (whole && month ? month.padStart(2, '0') : month) + (/^[4-9]$/.test(day) ? `0${day}` : day);
  }
  return /^(1[89]|2[01])\d{2,6}$/.test(text) ? text : null;
}

/** What the facets beside the search ask for: any of `modalities`, and dates between `from` and `to` (2024-03-17). */
export function compileFacets({ modalities = [], from = '', to = '' }) {
  const [first, last] = [from.replaceAll('-', ''), to.replaceAll('-', '') || LATEST];
  const isDated = Boolean(from || to);
  return {
    modality: (study) => !modalities.length || study.modalities.some((own) => modalities.includes(own)),
    date: (study) => !isDated || (study.date !== '' && study.date >= first && study.date <= last),
  };
}

/** The modalities in some studies with the number of studies that have each, the most frequent first. */
export function countModalities(studies) {
  const counters = new Map();
  for (const { modalities } of studies) {
    for (const modality of modalities) {
      const counter = counters.get(modality);
      if (counter) counter.count += 1;
      else counters.set(modality, { count: 1 });
    }
  }
  return [...counters]
    .map(([modality, { count }]) => [modality, count])
    .sort(([one, many], [other, more]) => more - many || (one < other ? -1 : 1));
}

/** The studies in the order of a column (a key of COLUMNS). What has no value comes last; equals stay in order. */
export function sortStudies(studies, column, descending) {
  const { read } = COLUMNS[column];
  const keyed = studies.map((study) => ({ study, key: read(study) }));
  const [known, unknown] = [[], []];
  for (const item of keyed) (item.key === '' || Number.isNaN(item.key) ? unknown : known).push(item);
  const sign = descending ? -1 : 1;
  known.sort((one, other) => (one.key < other.key ? -sign : one.key > other.key ? sign : 0));
  return [...known, ...unknown].map(({ study }) => study);
}

const NEWEST_FIRST = { column: 'date', descending: true };

/** The view that the part of an address behind # describes; what is no view is the first one. */
export function readView(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ''));
  const list = (name) => (words.get(name) ?? '').split(',').filter(Boolean);
  const day = (name) => (/^\d{4}-\d\d-\d\d$/.test(words.get(name) ?? '') ? words.get(name) : '');
  const [, minus, column] = /^(-?)(\w+)$/.exec(words.get('sort') ?? '') ?? [];
  const sort = Object.hasOwn(COLUMNS, column ?? '') ? { column, descending: minus === '-' } : NEWEST_FIRST;
  return {
    search: words.get('q') ?? '',
    modalities: list('modality'),
    from: day('from'),
    to: day('to'),
    ...sort,
    open: list('open'),
  };
}

/** A view as `readView` reads it, with # in front; "" for the first one. */
export function writeView({ search, modalities, from, to, column, descending, open }) {
  const isUsual = column === NEWEST_FIRST.column && descending === NEWEST_FIRST.descending;
  const words = {
    q: search,
    modality: modalities.join(','),
    from,
    to,
    sort: isUsual ? '' : `${descending ? '-' : ''}${column}`,
    open: open.join(','),
  };
  const text = new URLSearchParams(Object.entries(words).filter(([, value]) => value))
    .toString()
    .replaceAll('%2C', ',');
  return text && `#${text}`;
}
