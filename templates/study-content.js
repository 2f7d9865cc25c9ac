// Part of a Stillframe site.
// What kind of object an instance is (SOP classes, PS3.6 A), and which of its objects are published. Computes only.
import { textOf } from './study-list.js';

const STORAGE = '1.2.840.10008.5.1.4.1.1.';
const VIDEO_SYNTAX = /^1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?$/;
const FETCHED_WHOLE = ['66.4', '66.7', '30']; // published whole although they have frames

// Kinds by what follows the root of all Storage classes; a name that ends with a dot stands for all that begin with it.
// `viewer`: a viewer shows it. `large`: its metadata may be, so they are read when asked for. `extension` is that of the
// encapsulated document, in (0042,0011).
const KINDS = {
  104.1: { kind: 'pdf', label: 'PDF document', viewer: true, extension: 'pdf' },
  104.2: { kind: 'cda', label: 'CDA document', extension: 'xml' },
  104.3: { kind: 'model', label: 'STL model', extension: 'stl' },
  104.4: { kind: 'model', label: 'OBJ model', extension: 'obj' },
  104.5: { kind: 'model', label: 'MTL materials', extension: 'mtl' },
  88.59: { kind: 'report', label: 'Key object selection' },
  '88.': { kind: 'report', label: 'Structured report', viewer: true },
  '11.': { kind: 'outline', label: 'Presentation state' },
  '9.': { kind: 'outline', label: 'Waveform', viewer: true },
  91.1: { kind: 'outline', label: 'Microscopy annotations', large: true },
  66.4: { kind: 'outline', label: 'Segmentation', viewer: true, large: true },
  66.7: { kind: 'outline', label: 'Segmentation', viewer: true, large: true },
  481.3: { kind: 'outline', label: 'RT structure set', viewer: true, large: true },
  481.5: { kind: 'outline', label: 'RT plan', large: true },
  481.8: { kind: 'outline', label: 'RT ion plan', large: true },
  481.4: { kind: 'outline', label: 'RT treatment record', large: true },
  481.6: { kind: 'outline', label: 'RT treatment record', large: true },
  481.7: { kind: 'outline', label: 'RT treatment record', large: true },
  481.9: { kind: 'outline', label: 'RT treatment record', large: true },
  66: { kind: 'outline', label: 'Raw data', large: true },
  66.1: { kind: 'outline', label: 'Spatial registration', large: true },
  66.2: { kind: 'outline', label: 'Spatial fiducials', large: true },
  66.3: { kind: 'outline', label: 'Deformable registration', large: true },
  4.2: { kind: 'outline', label: 'MR spectroscopy', large: true },
  '77.1.6': { kind: 'slide', label: 'Slide', viewer: true },
};
const OTHER = { kind: 'outline', label: 'Object', large: true };
const IMAGE = { kind: 'image', label: 'Image', viewer: true, large: true };
const VIDEO = { kind: 'video', label: 'Video', viewer: true };

// Modalities whose series hold no pictures, and of these the ones that no viewer shows.
const WITHOUT_PICTURES = new Set(
  'SR KO PR DOC RTSTRUCT RTPLAN RTRECORD ECG HD EPS REG FID RWV ANN PLAN SMR AU RESP EEG EMG EOG M3D'.split(' '),
);
const NOT_SHOWN = new Set('KO PR RTPLAN RTRECORD REG FID RWV ANN PLAN M3D'.split(' '));

/** Whether series of a modality may have a thumbnail. */
export const mayHavePicture = (modality) => !WITHOUT_PICTURES.has(modality);

/** The page of the viewer that shows a study or series of some modalities; "" if none does. */
export function viewerRoute(modalities) {
  if (modalities.includes('SM')) return 'microscopy';
  return modalities.length && modalities.every((modality) => NOT_SHOWN.has(modality)) ? '' : 'viewer';
}

/** What an instance of a list is: `{ kind, label, … }`, as in KINDS. */
export function kindOf({ sopClass, transferSyntax, rows }) {
  if (VIDEO_SYNTAX.test(transferSyntax)) return VIDEO;
  const own = sopClass.startsWith(STORAGE) ? sopClass.slice(STORAGE.length) : '';
  const branch = `${own.split('.')[0]}.`;
  if (Object.hasOwn(KINDS, own)) return KINDS[own];
  if (Object.hasOwn(KINDS, branch)) return KINDS[branch];
  return rows > 0 ? IMAGE : OTHER;
}

/**
 * Which objects of an instance are published, as its metadata say: `whole`, its Part 10 object, and `rendered`.
 *
 * The record of the build names the options (docs/format.md, Provenance). Without a record, what is usual is assumed.
 */
export function publishedObjects(metadata) {
  const options = Object.fromEntries(
    recordOf(metadata, '02')
      .split(';')
      .map((option) => option.split('=')),
  );
  const syntax = textOf(metadata, '00083002');
  const isVideo = VIDEO_SYNTAX.test(syntax);
  const sopClass = textOf(metadata, '00080016');
  const isDocument = isVideo || sopClass === `${STORAGE}104.1`;
  const isAlone = !syntax || isVideo || FETCHED_WHOLE.some((name) => sopClass === STORAGE + name);
  const isRefused = /^no (?:document|video) under rendered: /m.test(recordOf(metadata, '03')); // its bytes are none
  return {
    whole: options.part10 === 'always' || (options.part10 !== 'never' && isAlone),
    rendered: isDocument && !isRefused && options.rendered !== 'never',
  };
}

/** What the build says of the instance: the options, in (0099,xx02), or its notes, in (0099,xx03). */
function recordOf(metadata, element) {
  for (let block = 0x10; block <= 0xff; block += 1) {
    const hex = block.toString(16).toUpperCase().padStart(2, '0');
    if (textOf(metadata, `009900${hex}`) === 'STILLFRAME') return textOf(metadata, `0099${hex}${element}`);
  }
  return '';
}

/** The encapsulated document of an instance: `{ uri }` relative to its metadata, or `{ base64 }`; null if it has none. */
export function documentOf(metadata) {
  const { BulkDataURI: uri, InlineBinary: base64 } = metadata['00420011'] ?? {};
  const length = Number(textOf(metadata, '00420015')) || Infinity; // without the pad byte, where it is told
  if (typeof uri === 'string') return { uri, length };
  return typeof base64 === 'string' ? { base64, length } : null;
}

const UTF_16 = { 0xfffe: 'utf-16le', 0x3c00: 'utf-16le', 0xfeff: 'utf-16be', 0x003c: 'utf-16be' }; // by the first bytes

/** The text of an XML document in the encoding that it has or names (XML 1.0, 4.3.3 and F.1), or else in UTF-8. */
export function decodeXml(bytes) {
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 200));
  const [, named = ''] = /^<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][\w.-]*)["']/.exec(head) ?? [];
  const own = /^utf-?16/i.test(named) ? '' : named; // that could be read a byte a letter
  try {
    return new TextDecoder(UTF_16[(bytes[0] << 8) | bytes[1]] ?? (own || 'utf-8')).decode(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return new TextDecoder().decode(bytes); // browsers do not have that encoding
  }
}
