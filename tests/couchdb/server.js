'use strict';

// A CouchDB-protocol server for tests. See handlers.js for what it answers, control.js for what tests may ask.

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const {parseArgs} = require('node:util');

const {Refusal, sendError} = require('./answers');
const {Auth} = require('./auth');
const {answerControl} = require('./control');
const {Documents} = require('./documents');
const {Failures} = require('./failures');
const {MODES, PUBLIC, answer, needAdmin} = require('./handlers');
const {SYSTEM, kindOf, parseTarget} = require('./names');
const {Registry} = require('./registry');
const {openStorage} = require('./storage');
const {Updates} = require('./updates');

const OPTIONS = {
  port: {type: 'string', default: '0'},
  mode: {type: 'string', default: 'couch3'},
  folder: {type: 'string'},
  user: {type: 'string'},
  password: {type: 'string', default: ''},
  auth: {type: 'string', default: 'basic'},
  cert: {type: 'string'},
  key: {type: 'string'},
  'with-stdin': {type: 'boolean', default: false}, // end when stdin ends: with the process that started us
};

/** The name of this server: kept in its folder, new each time in memory. */
function uuidOf(folder) {
  const fresh = crypto.randomBytes(16).toString('hex');
  if (!folder) return fresh;
  fs.mkdirSync(folder, {recursive: true});
  const file = `${folder}/uuid`;
  if (!fs.existsSync(file)) fs.writeFileSync(file, fresh);
  return fs.readFileSync(file, 'utf8');
}

function build({mode, folder, user, password, auth}) {
  if (!MODES.includes(mode)) throw new Error(`--mode is one of ${MODES.join(', ')}`);
  if (auth !== 'basic') throw new Error('--auth is basic');
  const uuid = uuidOf(folder);
  const updates = new Updates();
  const registry = new Registry(openStorage(folder), mode, (type, name) => updates.tell(type, name));
  const system = {couch3: SYSTEM, couch21: SYSTEM, couch1: SYSTEM.slice(0, 2), bigcouch: []}[mode];
  if (!registry.names().length) system.forEach((name) => registry.create(name));
  updates.flush();
  updates.clear(); // what was before the first request is no news
  const secret = `${uuid}${password}`;
  return {
    mode, uuid, updates, registry, requests: {},
    auth: new Auth({user, password, secret}), documents: new Documents(), failures: new Failures(),
  };
}

async function handle(server, req, res) {
  const target = parseTarget(req.url);
  res.setHeader('Server', 'CouchDB (tests)');
  try {
    const control = target.first === '_control';
    if (!control) {
      const kind = kindOf(req.method, target);
      server.requests[kind] = (server.requests[kind] ?? 0) + 1;
      if (server.failures.meet(res, target)) return;
    }
    const name = server.auth.identify(req, res);
    const asker = {name, admin: name !== null && server.auth.isAdmin(name)};
    if (name === null && !PUBLIC.includes(target.first)) {
      throw new Refusal(401, 'unauthorized', 'You are not authorized to access this db.');
    }
    if (control) {
      needAdmin(asker);
      await answerControl(server, req, res);
    } else {
      await answer(server, req, res, target, asker);
    }
  } catch (problem) {
    sendError(res, problem);
  }
}

function listen(options, listener) {
  const tls = options.cert && {cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key)};
  const web = tls ? https.createServer(tls, listener) : http.createServer(listener);
  Object.assign(web, {keepAliveTimeout: 300000, requestTimeout: 0});
  web.listen(Number(options.port), '127.0.0.1', () => {
    console.log(`listening ${tls ? 'https' : 'http'}://127.0.0.1:${web.address().port}`);
  });
}

function main() {
  const options = parseArgs({options: OPTIONS}).values;
  const server = build(options);
  // A database that goes away under a running request may fail anywhere inside PouchDB: say so and go on.
  process.on('uncaughtException', (problem) => console.error(problem));
  process.on('SIGTERM', () => process.exit(0)); // open answers get no final chunk
  if (options['with-stdin']) process.stdin.on('end', () => process.exit(0)).resume();
  listen(options, (req, res) => void handle(server, req, res));
}

main();
