// Part of a Stillframe site.
// The table of studies: its headings, and the row of a study.
import { mayHavePicture } from './study-content.js';
import { formatCount, formatDate, formatTime } from './study-list.js';
import { drawIcon, make, makePicture } from './study-rows.js';

const GIVE_UP_PICTURES = 12; // so many missing ones, and none that is there: the archive has none
const ROOM_FOR_MODALITIES = 4; // short ones in two lines; one of more than three letters takes the room of two
const CHEVRON = 'm5 8 5 5 5-5';
const [LETTERS, DAYS, COUNTS] = [
  ['A to Z', 'Z to A'],
  ['oldest first', 'newest first'],
  ['fewest first', 'most first'],
];

// By what the list is sorted (COLUMNS of study-search.js): the class of the cells, the heading, the two directions.
const HEADINGS = [
  { column: 'name', cell: 'name', title: 'Patient', directions: LETTERS },
  { column: 'id', cell: 'id', title: 'Patient ID', directions: LETTERS },
  { column: 'date', cell: 'date', title: 'Date', directions: DAYS },
  { column: 'description', cell: 'description', title: 'Description', directions: LETTERS },
  { column: 'accession', cell: 'accession', title: 'Accession', directions: LETTERS },
  { column: 'modality', cell: 'modality', title: 'Modality', directions: LETTERS },
  { column: 'series', cell: 'series-count', title: 'Series', directions: COUNTS },
  { column: 'instances', cell: 'instance-count', title: 'Instances', directions: COUNTS },
];

/** The headings; a click on one calls `sortBy` with its column. */
export function makeHeadings(sortBy) {
  const sortable = HEADINGS.map(({ column, cell, title }) => {
    const button = make(
      'button',
      { type: 'button', on: { click: () => sortBy(column) } },
      title,
      drawIcon(CHEVRON, 'icon direction'),
    );
    return make('div', { role: 'columnheader', class: `cell ${cell}`, 'data-column': column }, button);
  });
  const named = (cell, title) =>
    make('div', { role: 'columnheader', class: `cell ${cell}` }, make('span', { class: 'sr-only' }, title));
  return [named('thumbnail', 'Picture'), ...sortable, named('disclosure', 'Series of the study')];
}

/** The ways to sort, as options whose value is the column, with a minus in front where the greatest come first. */
export function makeSortings() {
  return HEADINGS.flatMap(({ column, title, directions: [up, down] }) => [
    make('option', { value: column }, `${title}, ${up}`),
    make('option', { value: `-${column}` }, `${title}, ${down}`),
  ]);
}

/**
 * The row of a study: `{ element, show }`, where `show` asks for its picture.
 *
 * `pictures` counts for the whole page: `{ missing, shown }`. `toggle` opens and closes the study's series.
 */
export function makeRow(study, { index, isOpen, archive, pictures, toggle }) {
  const { box, show } = makeStudyPicture(study, archive, pictures);
  const name = study.name || 'No name';
  const disclosure = make(
    'button',
    {
      type: 'button',
      class: 'disclose',
      'data-part': 'disclose',
      'aria-expanded': String(isOpen),
      'aria-label': `Series of ${name}`,
      on: { click: toggle },
    },
    drawIcon(CHEVRON),
  );
  const about =
    study.otherNames.join(' · ') ||
    [study.sex, study.birthDate && `born ${formatDate(study.birthDate)}`].filter(Boolean).join(', ');
  const element = make(
    'div',
    { role: 'row', class: `row${isOpen ? ' opened' : ''}`, 'aria-rowindex': index + 2, 'data-uid': study.uid },
    makeCell('thumbnail', box),
    makeCell('name', make('div', { class: 'first' }, makeOpener(study, name, archive, toggle)), makeSecond(about)),
    makeCell('id', makeFirst(study.patientId)),
    makeCell('date', makeFirst(formatDate(study.date)), makeSecond(formatTime(study.time))),
    makeCell('description', makeFirst(study.description)),
    makeCell('accession', makeFirst(study.accession)),
    makeCell('modality', ...makeModalities(study.modalities)),
    makeCell('series-count', makeCount(study.seriesCount, 'series', 'series')),
    makeCell('instance-count', makeCount(study.instanceCount, 'instance')),
    makeCell('disclosure', disclosure),
  );
  return { element, show };
}

const makeCell = (name, ...content) => make('div', { role: 'cell', class: `cell ${name}` }, ...content);
const makeFirst = (text) => make('bdi', { class: 'first', title: text || false }, text);
const makeSecond = (text) => text && make('span', { class: 'second', dir: 'auto' }, text);

/** What lies over the whole row: a link to the viewer, or what opens the series where no viewer shows the study. */
function makeOpener(study, name, archive, toggle) {
  const href = archive.viewerUrl({ study: study.uid }, study.modalities);
  const shared = { class: 'open', 'data-part': 'open', title: name };
  const opener = href
    ? make('a', { ...shared, href, 'aria-label': `${name}, open in the viewer` })
    : make('button', { ...shared, type: 'button', 'aria-label': `${name}, show the series`, on: { click: toggle } });
  opener.append(make('bdi', {}, name));
  return opener;
}

function makeModalities(modalities) {
  let room = ROOM_FOR_MODALITIES;
  const firsts = modalities.findIndex((modality) => (room -= modality.length > 3 ? 2 : 1) < 0);
  const count = firsts < 0 ? modalities.length : Math.max(firsts, 1);
  const shown = modalities.slice(0, count).map((modality) => make('span', { class: 'modality' }, modality));
  const rest = modalities.length - count;
  return rest ? [...shown, make('span', { class: 'second', title: modalities.join(', ') }, `+${rest}`)] : shown;
}

function makeCount(count, one, many = `${one}s`) {
  if (Number.isNaN(count)) return '';
  return make('span', {}, formatCount(count), make('span', { class: 'unit' }, ` ${count === 1 ? one : many}`));
}

function makeStudyPicture(study, archive, pictures) {
  const url = archive.url({ study: study.uid }, 'thumbnail');
  const { box, show } = makePicture(url, study.modalities[0] ?? '–', pictures.missing, {
    onShown: () => (pictures.shown += 1),
  });
  const mayBe = !study.modalities.length || study.modalities.some(mayHavePicture);
  const isHopeless = () => !pictures.shown && pictures.missing.size >= GIVE_UP_PICTURES;
  return { box, show: () => mayBe && !isHopeless() && show() };
}
