// A stand-in for a public bucket under a path: keys are URLs, JSON is gzip-encoded, and what is not there is denied.
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

const SERVICE = 'window.stillframe = { root: new URL("./", document.currentScript.src).href.slice(0, -1) };\n';

/** Serves a tree, with the pages of the site at `pages` beside it, at the URL that is returned; `close` ends it. */
export async function startBucket(tree, pages) {
  const prefix = '/bucket/some/prefix/';
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const key = pathname.startsWith(prefix) ? pathname.slice(prefix.length) : '';
    if (key === 'service.js') return send(response, 'text/javascript', Buffer.from(SERVICE));
    if (/^(index\.html|study-[a-z]+\.(css|js))$/.test(key)) {
      const page = await fetch(`${pages}/${key}`);
      return send(response, page.headers.get('content-type'), Buffer.from(await page.arrayBuffer()));
    }
    const file = [key, `${key}/index.json`, `${key}/index.dcm`].map((name) => path.join(tree, name)).find(isFile);
    if (!key || !file) {
      response.writeHead(403, { 'Content-Type': 'application/xml' });
      return response.end('<Error><Code>AccessDenied</Code></Error>');
    }
    const body = readFileSync(file);
    const isJson = body[0] === 0x5b || body[0] === 0x7b;
    return send(response, isJson ? 'application/dicom+json' : 'image/jpeg', body, isJson);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}${prefix}`;
  return { url, close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()) };
}

const isFile = (file) => existsSync(file) && statSync(file).isFile();

function send(response, type, body, isCompressed = false) {
  const encoding = isCompressed ? { 'Content-Encoding': 'gzip' } : {};
  response.writeHead(200, { 'Content-Type': type, 'X-Content-Type-Options': 'nosniff', ...encoding });
  response.end(isCompressed ? gzipSync(body) : body);
}
