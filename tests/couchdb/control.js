'use strict';

// /_control: what a test may ask of the server that no CouchDB offers.

const {Refusal, readJson, sendJson} = require('./answers');
const {openFeeds} = require('./feed');

const orders = {
  db_updates: (server, settings) => server.updates.configure(settings),
  snapshot: (server, name) => server.registry.snapshot(name),
  restore: (server, name) => server.registry.restore(name),
  replay: (server, name) => server.registry.replay(name),
  fail: (server, failure) => server.failures.set(failure),
  cookie_life: (server, seconds) => void (server.auth.cookieLife = seconds),
  reset_requests: (server) => void (server.requests = {}),
};

async function answerControl(server, req, res) {
  if (req.method === 'POST') {
    for (const [name, value] of Object.entries(await readJson(req))) {
      if (!(name in orders)) throw new Refusal(400, 'bad_request', `There is no order ${name}.`);
      await orders[name](server, value);
    }
  }
  sendJson(res, 200, {open_feeds: openFeeds(), requests: server.requests});
}

module.exports = {answerControl};
