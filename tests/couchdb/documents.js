'use strict';

// Everything inside a database but _changes: express-pouchdb, asked under a name without slashes.

const expressPouch = require('express-pouchdb');
const {Refusal} = require('./answers');

const OURS = [
  'compression', // it holds back streams
  'routes/all-dbs', 'routes/attachments', 'routes/changes', 'routes/root', 'routes/session-stub', 'routes/temp-views',
];

/** express-pouchdb asks for the list of all names with each request; the server has looked already. */
class EveryName {
  map() {
    return this;
  }

  indexOf() {
    return 0;
  }
}

class Documents {
  constructor() {
    this.open = new Map();
    this.count = 0;
    const names = new EveryName();
    const source = () => {};
    source.defaults = () => source;
    source.allDbs = (done) => (done ? done(null, names) : Promise.resolve(names));
    source.__dbCacheMap = this.open;
    this.app = expressPouch(source, {mode: 'minimumForPouchDB', overrideMode: {exclude: OURS}});
    this.app.disable('etag').disable('x-powered-by');
  }

  async answer(database, req, res, target) {
    if (req.method === 'DELETE' && !target.query.has('rev')) { // express-pouchdb would take the latest
      throw new Refusal(409, 'conflict', 'Document update conflict.');
    }
    await database.use((pouch) => this.#pass(pouch, req, res, target));
  }

  /** Resolves when the answer is complete, or the client gone. The inner name is of this request only. */
  #pass(pouch, req, res, target) {
    return new Promise((resolve) => {
      if (req.socket.destroyed) return resolve();
      const name = `request${this.count++}`;
      this.open.set(name, pouch);
      res.on('close', () => {
        this.open.delete(name);
        resolve();
      });
      req.url = `/${name}${target.rest && `/${target.rest}`}${target.search}`;
      req.headers.accept = 'application/json';
      req.headers['content-type'] = 'application/json'; // CouchDB reads JSON without being told
      res.location = () => res; // it would show the inner name
      return this.app(req, res);
    });
  }
}

module.exports = {Documents};
