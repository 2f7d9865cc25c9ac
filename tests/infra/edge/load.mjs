// The edge function with CloudFormation's values filled in, outside CloudFront.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';

const SOURCE = readFileSync(path.join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../../infra/edge.js'), 'utf8');
const DEFAULTS = { ServicePath: '/dicomweb', KeyPrefix: 'archive', Origins: '*', Credentials: 'false' };

export function loadHandler(values = {}) {
  const code = SOURCE.replace(/\$\{(\w+)\}/g, (_, name) => ({ ...DEFAULTS, ...values })[name]);
  const context = vm.createContext({});
  vm.runInContext(`'use strict';\n${code}`, context);
  return vm.runInContext('handler', context);
}

// What CloudFront passes on: the path as the viewer sent it, the query taken apart, header names in lower case.
export function makeEvent(url, { method = 'GET', headers = {} } = {}) {
  const [uri, query = ''] = url.split('?');
  const querystring = Object.fromEntries([...new URLSearchParams(query)].map(([name, value]) => [name, { value }]));
  const entries = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), { value }]);
  const request = { method, uri, querystring, headers: Object.fromEntries(entries), cookies: {} };
  return { version: '1.0', context: { eventType: 'viewer-request' }, viewer: { ip: '198.51.100.11' }, request };
}
