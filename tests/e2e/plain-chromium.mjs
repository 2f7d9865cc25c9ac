// Chromium as a reader has it, without a debugger: Playwright attaches one to every page, and V8 then collects source
// positions of OHIF's scripts again (0.4 s of processor time in a fresh profile). Here pages are opened and asked through
// the pipe of the DevTools protocol, and no domain that follows scripts is switched on.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FLAGS, findChromium } from './site-hosts.mjs';

const POLL_MS = 50;

/** Starts Chromium with a fresh profile. `script` is a function that runs in each page before the page's own scripts. */
export async function startChromium(script) {
  const profile = mkdtempSync(path.join(tmpdir(), 'stillframe-profile-'));
  const options = ['--headless', '--remote-debugging-pipe', `--user-data-dir=${profile}`, '--window-size=1280,800'];
  const browser = spawn(findChromium(), [...options, ...FLAGS, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise((resolve) => browser.once('exit', resolve));
  const send = speak(browser.stdio[3], browser.stdio[4]);

  /** Opens a URL: `{ until, close }`, where `until` is the value of an expression once it is one. */
  async function open(url) {
    const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
    await send('Page.enable', {}, sessionId);
    await send('Page.addScriptToEvaluateOnNewDocument', { source: `(${script})()` }, sessionId);
    await send('Page.navigate', { url }, sessionId);
    return {
      until: (expression, milliseconds) => until(send, { expression, sessionId, milliseconds }),
      close: () => send('Target.closeTarget', { targetId }),
    };
  }

  async function close() {
    await Promise.race([send('Browser.close'), ended]);
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  /** Seconds of processor time that its processes have taken; those that have ended do not count. */
  async function processorTimes() {
    const { processInfo } = await send('SystemInfo.getProcessInfo');
    return new Map(processInfo.map(({ id, cpuTime }) => [id, cpuTime]));
  }

  return { open, close, processorTimes };
}

async function until(send, { expression, sessionId, milliseconds }) {
  for (const end = performance.now() + milliseconds; performance.now() < end;) {
    const { result } = await send('Runtime.evaluate', { expression, returnByValue: true }, sessionId);
    if (result.value) return result.value;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`not within ${milliseconds} ms: ${expression}`);
}

/** Messages of the protocol, each ended by a zero byte. */
function speak(output, input) {
  const waiting = new Map();
  let [rest, last] = ['', 0];
  input.setEncoding('utf8').on('data', (data) => {
    const messages = (rest + data).split('\0');
    rest = messages.pop();
    for (const { id, result, error } of messages.map((text) => JSON.parse(text))) {
      if (error) waiting.get(id)?.reject(new Error(error.message));
      else waiting.get(id)?.resolve(result);
      waiting.delete(id);
    }
  });
  output.on('error', () => {}); // its end is told by the process
  return (method, params = {}, sessionId = undefined) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      output.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });
}
