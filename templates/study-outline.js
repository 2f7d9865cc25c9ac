// Part of a Stillframe site.
// What the metadata of an instance say to a reader. Computes only. Attributes are those of PS3.3.
import { kindOf } from './study-content.js';
import { asText, formatDate, formatTime, isUid, textOf, valuesOf } from './study-list.js';

const DEEPEST = 64;

/** What an instance is called: the title of its document or report, the label of its plan, state or waveform. */
export function titleOf(metadata) {
  for (const tag of ['00420010', '0040A043', '00700080', '300A0002', '30060002', '30100033', '00700081']) {
    const title = metadata[tag]?.vr === 'SQ' ? codeOf(metadata, tag) : textOf(metadata, tag);
    if (title) return title;
  }
  return '';
}

const codeOf = (item, tag) => {
  const [code] = valuesOf(item, tag);
  return textOf(code, '00080104') || textOf(code, '00080100') || textOf(code, '00080119') || textOf(code, '00080120');
};

/**
 * What the metadata of an instance say to a reader, as an outline.
 *
 * Returns nodes `{ label, text, items, reference }`: items are nodes, a reference is `{ instance, series, study, sopClass }`.
 */
export function outlineOf(metadata) {
  return [...factsOf(metadata), ...SECTIONS.flatMap((section) => section(metadata)), ...reportOf(metadata)];
}

const node = (label, text = '', items = [], reference = null) => ({ label, text, items, reference });
const facts = (item, rows) =>
  rows.map(([label, tag, read = textOf]) => node(label, read(item, tag))).filter(({ text }) => text);
const dateOf = (item, tag) => formatDate(textOf(item, tag));
const timeOf = (item, tag) => formatTime(textOf(item, tag));
const momentOf = (item, tag) => formatMoment(textOf(item, tag));
const listOf = (item, tag) => valuesOf(item, tag).map(asText).filter(Boolean).join(', ');
const formatMoment = (text) =>
  [formatDate(text.slice(0, 8)), formatTime(text.slice(8).replace(/[+-].*/, ''))].filter(Boolean).join(' ');

function factsOf(metadata) {
  return facts(metadata, [
    ['Title', '00420010'],
    ['Label', '00700080'],
    ['Description', '00700081'],
    ['Plan label', '300A0002'],
    ['Plan name', '300A0003'],
    ['Plan intent', '300A000A'],
    ['Approval', '300E0002'],
    ['Plan date', '300A0006', dateOf],
    ['Structure set', '30060002'],
    ['Name', '30060004'],
    ['Segmentation type', '00620001'],
    ['Completion', '0040A491'],
    ['Verification', '0040A493'],
    ['Content date', '00080023', dateOf],
    ['Content time', '00080033', timeOf],
    ['Creator', '00700084'],
    ['Institution', '00080080'],
    ['Manufacturer', '00080070'],
    ['Model', '00081090'],
  ]);
}

/** A section for each sequence: its title, tag, the name of an item, the facts of an item, and what lies below it. */
const section =
  (title, tag, name, rows, below = () => []) =>
  (metadata) => {
    const items = valuesOf(metadata, tag).map((item, index) =>
      node(name(item) || `${index + 1}`, '', [...facts(item, rows), ...below(item)]),
    );
    return items.length ? [node(title, `${items.length}`, items)] : [];
  };
const named =
  (...tags) =>
  (item) =>
    tags
      .map((tag) => textOf(item, tag))
      .filter(Boolean)
      .join(' · ');

const SECTIONS = [
  section('Verified by', '0040A073', named('0040A075'), [
    ['Organisation', '0040A027'],
    ['When', '0040A030', momentOf],
  ]),
  section('Segments', '00620002', named('00620004', '00620005'), [
    ['Category', '00620003', codeOf],
    ['Type', '0062000F', codeOf],
    ['Algorithm', '00620008'],
    ['Algorithm name', '00620009'],
  ]),
  section('Regions of interest', '30060020', named('30060022', '30060026'), [
    ['Algorithm', '30060036'],
    ['Description', '30060028'],
  ]),
  section('Prescriptions', '300A0010', named('300A0016', '300A0012'), [
    ['Kind', '300A0014'],
    ['Use', '300A0020'],
    ['Prescribed dose (Gy)', '300A0026'],
    ['Maximum dose (Gy)', '300A002C'],
  ]),
  section(
    'Fraction groups',
    '300A0070',
    named('300A0071'),
    [
      ['Fractions planned', '300A0078'],
      ['Beams', '300A0080'],
    ],
    section('Beams in the group', '300C0004', named('300C0006'), [
      ['Meterset', '300A0086'],
      ['Dose (Gy)', '300A0084'],
    ]),
  ),
  section('Beams', '300A00B0', named('300A00C0', '300A00C2'), beamFacts('300A0111')),
  section('Ion beams', '300A03A2', named('300A00C0', '300A00C2'), beamFacts('300A03A8')),
  section(
    'Channels',
    '54000100',
    named('003A0020'),
    [
      ['Sampling frequency (Hz)', '003A001A'],
      ['Samples', '003A0010'],
      ['Originality', '003A0004'],
    ],
    section('Leads', '003A0200', (item) => codeOf(item, '003A0208') || textOf(item, '003A0203'), [
      ['Sensitivity', '003A0210'],
    ]),
  ),
  section(
    'Measurements and statements',
    '0040B020',
    (item) => textOf(item, '00700006') || codeOf(item, '0040A043') || codeOf(item, '0040A168'),
    [
      ['Value', '0040A30A'],
      ['Unit', '004008EA', codeOf],
    ],
  ),
  section('Annotation groups', '006A0002', named('0040A180', '006A0005'), [
    ['Description', '006A0006'],
    ['Property', '006A000A', codeOf],
    ['Shape', '00700023'],
    ['Annotations', '006A000C'],
    ['Made', '006A0007'],
  ]),
  section('Windows', '00283110', (item) => textOf(item, '00281055'), [
    ['Center', '00281050'],
    ['Width', '00281051'],
  ]),
  section('Annotations', '00700001', named('00700002'), [], (item) => [
    ...valuesOf(item, '00700008').map((text) => node('Text', textOf(text, '00700006'))),
    ...valuesOf(item, '00700009').map((graphic) => node('Shape', textOf(graphic, '00700023').toLowerCase())),
  ]),
  (metadata) => {
    const items = valuesOf(metadata, '00081115').flatMap((series) =>
      [...valuesOf(series, '00081140'), ...valuesOf(series, '0008114A')].map((item) =>
        referenceNode('', item, { study: '', series: textOf(series, '0020000E') }),
      ),
    );
    return items.length ? [node('Refers to', `${items.length}`, items)] : [];
  },
];

function beamFacts(points) {
  const energyOf = (item) => textOf(valuesOf(item, points)[0], '300A0114');
  const countOf = (item) => String(valuesOf(item, points).length || '');
  return [
    ['Kind', '300A00C4'],
    ['Radiation', '300A00C6'],
    ['Energy (MV, MeV)', points, energyOf],
    ['Machine', '300A00B2'],
    ['Delivery', '300A00CE'],
    ['Control points', points, countOf],
  ];
}

/** The content tree of a report or key object selection (PS3.3 C.17.3), with the studies that its evidence names. */
function reportOf(metadata) {
  if (!valuesOf(metadata, '0040A730').length) return [];
  const evidence = new Map();
  for (const tag of ['0040A375', '0040A385']) {
    for (const study of valuesOf(metadata, tag)) {
      for (const series of valuesOf(study, '00081115')) {
        const place = { study: textOf(study, '0020000D'), series: textOf(series, '0020000E') };
        for (const item of valuesOf(series, '00081199')) evidence.set(textOf(item, '00081155'), place);
      }
    }
  }
  return [contentNode(metadata, evidence, 0)];
}

function contentNode(item, evidence, depth) {
  const below = depth < DEEPEST ? valuesOf(item, '0040A730') : [];
  const items = below
    .filter((child) => child && typeof child === 'object')
    .map((child) => contentNode(child, evidence, depth + 1));
  const label = codeOf(item, '0040A043');
  const [reference] = valuesOf(item, '00081199');
  if (reference && typeof reference === 'object') {
    const place = evidence.get(textOf(reference, '00081155')) ?? { study: '', series: '' };
    return { ...referenceNode(label, reference, place), items };
  }
  return node(label, contentText(item), items);
}

function contentText(item) {
  const readers = {
    TEXT: () => textOf(item, '0040A160'),
    NUM: () => measurementOf(item),
    CODE: () => codeOf(item, '0040A168'),
    PNAME: () => textOf(item, '0040A123'),
    DATE: () => dateOf(item, '0040A121'),
    TIME: () => timeOf(item, '0040A122'),
    DATETIME: () => momentOf(item, '0040A120'),
    UIDREF: () => textOf(item, '0040A124'),
    SCOORD: () => shapeOf(item),
    SCOORD3D: () => shapeOf(item),
    TCOORD: () => textOf(item, '0040A130').toLowerCase(),
    CONTAINER: () => '',
  };
  const type = textOf(item, '0040A040');
  if (Object.hasOwn(readers, type)) return readers[type]();
  const path = listOf(item, '0040DB73').replaceAll(', ', '.');
  return path ? `see item ${path}` : '';
}

function measurementOf(item) {
  const [measured] = valuesOf(item, '0040A300');
  if (!measured) return codeOf(item, '0040A301');
  const unit = textOf(valuesOf(measured, '004008EA')[0], '00080100');
  return [textOf(measured, '0040A30A'), unit === '1' ? '' : unit].filter(Boolean).join(' ');
}

function shapeOf(item) {
  const points = valuesOf(item, '00700022').length / (textOf(item, '0040A040') === 'SCOORD3D' ? 3 : 2);
  return `${textOf(item, '00700023').toLowerCase()} of ${points} ${points === 1 ? 'point' : 'points'}`;
}

function referenceNode(label, item, { study, series }) {
  const [instance, sopClass] = [textOf(item, '00081155'), textOf(item, '00081150')];
  const frames = listOf(item, '00081160');
  const what = sopClass ? kindOf({ sopClass, transferSyntax: '', rows: 1 }).label : 'Object';
  const reference = isUid(instance)
    ? { instance, sopClass, study: isUid(study) ? study : '', series: isUid(series) ? series : '' }
    : null;
  return node(label, [what, frames && `frame ${frames}`].filter(Boolean).join(', '), [], reference);
}
