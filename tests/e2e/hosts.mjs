// Where an archive and its viewers are: each host has an address of the archive's root, and one of the site for each
// version of OHIF.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, createReadStream, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { waitUntil } from './wait.mjs';

const REPOSITORY = path.join(fileURLToPath(new URL('.', import.meta.url)), '..', '..');
export const BIN = path.resolve(process.env.STILLFRAME_BIN ?? path.join(REPOSITORY, '.venv', 'bin'));
const MEDIA_TYPES = {
  '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm',
  '.json': 'application/json', '.svg': 'image/svg+xml', '.png': 'image/png',
};

export function run(command, args, options = {}) {
  return execFileSync(command, args, { cwd: REPOSITORY, encoding: 'utf8', maxBuffer: 1 << 28, ...options });
}

/** `stillframe serve`, a process for each viewer. */
export async function startServe({ tree, viewers, stops }) {
  const bases = {};
  for (const [name, dist] of Object.entries(viewers)) {
    const port = await freePort();
    bases[name] = `http://127.0.0.1:${port}/`;
    const args = ['serve', tree, '--viewer', dist, '--port', String(port)];
    await start(path.join(BIN, 'stillframe'), args, `${bases[name]}dicomweb/studies`, stops);
  }
  return { name: 'serve', bases, root: `${Object.values(bases)[0]}dicomweb` };
}

/** nginx with the configuration that `stillframe nginx` prints: for each viewer, a copy of the archive with its site. */
export async function startNginx({ tree, viewers, stops, work }) {
  const bases = {};
  for (const [name, dist] of Object.entries(viewers)) {
    const port = await freePort();
    bases[name] = `http://127.0.0.1:${port}/`;
    const state = path.join(work, `nginx-${name}`);
    const copy = path.join(state, 'tree');
    cpSync(tree, copy, { recursive: true });
    run(path.join(BIN, 'stillframe'), ['site', copy, '--viewer', dist]);
    writeFileSync(path.join(state, 'nginx.conf'), run(path.join(BIN, 'stillframe'), ['nginx', copy, '--port', String(port)]));
    const user = process.getuid() === 0 ? ' user root;' : ''; // of workers, which are to read temporary folders
    const server = ['-p', state, '-c', 'nginx.conf', '-g', `daemon off;${user}`];
    await start('/usr/sbin/nginx', server, `${bases[name]}dicomweb/studies`, stops);
  }
  return { name: 'nginx', bases, root: `${Object.values(bases)[0]}dicomweb` };
}

/** An archive in a bucket of SeaweedFS that everybody may read: its address. With `dist`, its site is in it, too. */
export async function fillBucket({ sources, dist, folder, stops }) {
  mkdirSync(folder);
  const server = spawn(path.join(BIN, 'python'), ['-m', 'tests.e2e.bucket', folder, sources, ...(dist ? [dist] : [])], {
    cwd: REPOSITORY, stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => server.once('exit', resolve));
  stops.push(() => (server.stdin.end(), exited));
  return new Promise((resolve, reject) => {
    readline.createInterface(server.stdout).once('line', resolve);
    exited.then(() => reject(new Error('the bucket was not filled')));
  });
}

/** An archive in a bucket. The viewers are on origins of their own. */
export async function startBucket({ sources, viewers, stops, work }) {
  const root = await fillBucket({ sources, folder: path.join(work, 'bucket'), stops });
  const bases = {};
  for (const [name, dist] of Object.entries(viewers)) {
    const site = path.join(work, `site-${name}`);
    mkdirSync(site);
    run(path.join(BIN, 'stillframe'), ['site', site, '--viewer', dist, '--root', root]);
    const port = await freePort();
    bases[name] = `http://127.0.0.1:${port}/`;
    await start(path.join(BIN, 'stillframe'), ['serve', site, '--port', String(port)], `${bases[name]}service.js`, stops);
  }
  return { name: 'bucket', bases, root };
}

/**
 * A folder of pages on an origin of its own; what is not in it is its index.html, as single-page applications want.
 * `others` are files that lie elsewhere, by their paths.
 */
export async function servePages(folder, others = {}) {
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://host');
    const wanted = others[pathname] ?? path.join(folder, path.normalize(pathname));
    const file = existsSync(wanted) && statSync(wanted).isFile() ? wanted : path.join(folder, 'index.html');
    const type = MEDIA_TYPES[path.extname(file)] ?? 'application/octet-stream';
    response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'max-age=600' });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    base: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function start(command, args, address, stops) {
  const server = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = new Promise((resolve) => server.once('exit', resolve));
  stops.push(async () => {
    server.kill('SIGTERM');
    await exited;
  });
  await waitUntil(async () => {
    assert.equal(server.exitCode, null, `${command} ended`);
    return fetch(address).then((response) => response.ok, () => false);
  }, `${command} does not answer`);
}

/** A port of 127.0.0.1 that nobody listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
