// Part of a Stillframe site.
// The study page: what an archive holds, from its JSON lists alone.
import { Archive, narrowPolicy, readGrowing, ReadError } from './study-archive.js';
import { StudyBrowser } from './study-browser.js';
import { AddressError, formatCount, readStudy, serviceRoot } from './study-list.js';
import { countWord, showFailure } from './study-series.js';

const TELL_MS = 200; // between two words on how far the list has come
const elements = Object.fromEntries(
  ['notice', 'announced', 'service', 'service-root', 'copy-root', 'worklist'].map((id) => [
    id,
    document.getElementById(id),
  ]),
);

/** Reads the list of studies and shows it; what fails is told on the page. */
async function load(archive, browser) {
  tell('Loading the list of studies …', 'waiting');
  const studies = [];
  let [unreadable, told] = [0, 0];
  try {
    await readGrowing(archive.studies(), (records) => {
      for (const record of records) {
        const study = readStudy(record);
        if (study) studies.push(study);
        else unreadable += 1;
      }
      if (performance.now() - told < TELL_MS) return;
      told = performance.now();
      tell(`Loading the list of studies … ${formatCount(studies.length)}`, 'waiting');
    });
  } catch (error) {
    const notice = tell('The list of studies cannot be read.', 'failure');
    showFailure(notice, prefixed(`The list of studies cannot be read from ${archive.studies()}. `, error), () =>
      load(archive, browser),
    );
    return;
  }
  if (!studies.length) {
    tell(unreadable ? 'The list of studies holds no record that can be read.' : 'No studies are published here yet.');
    return;
  }
  elements.notice.hidden = !unreadable;
  if (unreadable)
    tell(
      `${countWord(unreadable, 'record')} of the list cannot be read, and ${unreadable === 1 ? 'is' : 'are'} left out.`,
    );
  browser.take(studies, (damaged) => tell(`${countWord(damaged, 'record')} of the list cannot be read in full.`));
}

/** Says something in the place of the list, or above it; returns the element that says it. */
function tell(text, className = '') {
  elements.notice.hidden = false;
  elements.notice.className = `notice ${className}`;
  elements.notice.textContent = text;
  if (className !== 'waiting') elements.announced.textContent = text;
  return elements.notice;
}

function prefixed(text, error) {
  return error instanceof ReadError ? new ReadError(text + error.message) : error;
}

function showService(root) {
  elements['service-root'].textContent = root;
  elements.service.hidden = false;
  const button = elements['copy-root'];
  button.addEventListener('click', async () => {
    const isCopied = await copyText(root);
    button.textContent = isCopied ? 'Copied' : 'Select and copy';
    elements.announced.textContent = isCopied ? 'The service root was copied.' : 'The service root is selected.';
    setTimeout(() => (button.textContent = 'Copy'), 2000);
  });
}

/** Copies a text; without a clipboard (plain HTTP has none) selects it where it stands, and returns false. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(elements['service-root']);
    return document.execCommand('copy');
  }
}

function start() {
  try {
    if (!window.stillframe?.root)
      throw new AddressError('service.js, which names the archive, is missing beside this page.');
    const root = serviceRoot(window.stillframe.root.replace(/\/+$/, ''), location.search);
    narrowPolicy(root);
    const token = new URLSearchParams(location.search).get('root') ?? '';
    if (token && elements.worklist) elements.worklist.href = `worklist?${new URLSearchParams({ root: token })}`;
    showService(root);
    const archive = new Archive({ root, hasViewer: document.body.hasAttribute('data-viewer'), token });
    load(archive, new StudyBrowser(archive));
  } catch (error) {
    elements.notice.hidden = false;
    elements.notice.className = 'notice failure';
    elements.notice.textContent = error.message;
    if (!(error instanceof AddressError)) throw error;
  }
}

start();
