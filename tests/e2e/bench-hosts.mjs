// Hosts of an archive for bench-viewers: nginx by HTTP/1.1 and HTTP/2, hosts with faults in front of it, and what
// CloudFront is to a browser: HTTP/2, the edge function, and a bucket behind it.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import path from 'node:path';
import { pipeline } from 'node:stream';
import { loadHandler, makeEvent } from '../infra/edge/load.mjs';
import { BIN, fillBucket, freePort, run } from './hosts.mjs';
import { waitUntil } from './wait.mjs';

/** nginx with the configuration that `stillframe nginx` prints; with `isHttp2` by TLS, under a certificate of its own. */
export async function startNginx({ tree, work, stops, isHttp2 }) {
  const port = await freePort();
  const folder = mkdtempSync(path.join(work, 'nginx-'));
  let configuration = run(path.join(BIN, 'stillframe'), ['nginx', tree, '--port', String(port)]);
  if (isHttp2) {
    const { key, certificate } = certify(folder);
    const listen = `listen 127.0.0.1:${port}`;
    configuration = configuration.replace(
      `${listen};`, `${listen} ssl http2; ssl_certificate ${certificate}; ssl_certificate_key ${key};`,
    );
  }
  writeFileSync(path.join(folder, 'nginx.conf'), configuration);
  const user = process.getuid() === 0 ? ' user root;' : '';
  const server = spawn('/usr/sbin/nginx', ['-p', folder, '-c', 'nginx.conf', '-g', `daemon off;${user}`], { stdio: 'inherit' });
  const exited = new Promise((resolve) => server.once('exit', resolve));
  stops.push(() => (server.kill('SIGTERM'), exited));
  const origin = `http${isHttp2 ? 's' : ''}://127.0.0.1:${port}`;
  const ask = ['-sfk', '-o', '/dev/null', `${origin}/dicomweb/studies`];
  await waitUntil(() => spawnSync('curl', ask).status === 0, 'nginx does not answer');
  return origin;
}

/** Files of a key and of a certificate that it signs itself. */
function certify(folder) {
  const [key, certificate] = ['key.pem', 'certificate.pem'].map((name) => path.join(folder, name));
  const subject = ['-subj', '/CN=127.0.0.1', '-days', '2', '-keyout', key, '-out', certificate];
  run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], { stdio: 'ignore' });
  return { key, certificate };
}

/**
 * A host in front of another. `ignoresRanges`: it sends whole objects; `loses`: of every so many requests for frames and
 * frame indexes one connection is lost, in the middle of the body; `delays`: so many ms before it passes these on.
 */
export async function startFaulty(origin, { ignoresRanges, loses, delays = 0, stops }) {
  let count = 0;
  const server = http.createServer((request, response) => {
    const headers = { ...request.headers };
    if (ignoresRanges) delete headers.range;
    const isFrame = /\/frames\/\d+$|\/frame-index$/.test(request.url); // the viewer itself has to start
    if (isFrame) count += 1;
    const isLost = isFrame && loses && count % loses === 0;
    const ask = () => {
      const upstream = http.request(`${origin}${request.url}`, { method: request.method, headers }, (answer) => {
        const answered = { ...answer.headers };
        if (ignoresRanges) delete answered['accept-ranges'];
        response.writeHead(answer.statusCode, answered);
        if (!isLost) return pipeline(answer, response, () => {});
        return answer.once('data', (chunk) => {
          response.write(chunk.subarray(0, Math.ceil(chunk.length / 2)));
          setTimeout(() => response.destroy(), 10);
          answer.destroy();
        });
      });
      upstream.on('error', () => response.destroy());
      request.pipe(upstream);
    };
    setTimeout(ask, isFrame ? delays : 0);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  stops.push(() => (server.closeAllConnections(), server.close()));
  return `http://127.0.0.1:${server.address().port}`;
}

/** CloudFront as a browser meets it: HTTP/2, infra/edge.js, then a bucket that holds the archive and its site. */
export async function startEdge({ sources, dist, work, stops }) {
  const folder = path.join(work, 'edge');
  mkdirSync(folder);
  const root = await fillBucket({ sources, dist, folder: path.join(folder, 'bucket'), stops });
  const handle = loadHandler({ KeyPrefix: '' });
  const { key, certificate } = certify(folder);
  const secrets = { key: readFileSync(key), cert: readFileSync(certificate), allowHTTP1: true };
  const server = http2.createSecureServer(secrets, (request, response) => {
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !name.startsWith(':')));
    const answer = handle(makeEvent(request.url, { method: request.method, headers }));
    if (answer.statusCode) {
      const values = Object.entries(answer.headers).map(([name, { value }]) => [name, value]);
      response.writeHead(answer.statusCode, Object.fromEntries(values));
      return response.end(answer.body);
    }
    const { host: _, ...passed } = headers;
    const upstream = http.request(`${root}${answer.uri}`, { method: request.method, headers: passed }, (stored) => {
      const { connection: _own, 'keep-alive': _alive, 'transfer-encoding': _coding, ...values } = stored.headers;
      response.writeHead(stored.statusCode, values);
      pipeline(stored, response, () => {});
    });
    upstream.on('error', () => response.stream?.close());
    return upstream.end();
  });
  const sessions = new Set();
  server.on('session', (session) => sessions.add(session.on('error', () => {}).on('close', () => sessions.delete(session))));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  stops.push(() => (sessions.forEach((session) => session.destroy()), server.close()));
  return `https://127.0.0.1:${server.address().port}`;
}
