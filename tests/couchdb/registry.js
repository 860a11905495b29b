'use strict';

// All databases of the server.

const {Database} = require('./database');
const {Refusal} = require('./answers');
const {isLegal} = require('./names');
const {token} = require('./seqs');

class Registry {
  /** `tell(type, name)` hears what `_db_updates` shows. */
  constructor(storage, mode, tell) {
    Object.assign(this, {storage, mode, tell});
    this.databases = new Map();
    this.sorted = null;
    for (const meta of storage.metas()) this.#add(meta);
  }

  #add(meta) {
    const database = new Database(this.storage, meta);
    database.on('moved', () => this.tell('updated', meta.name));
    this.databases.set(meta.name, database);
    this.sorted = null;
    return database;
  }

  names() {
    this.sorted ??= [...this.databases.keys()].sort();
    return this.sorted;
  }

  has(name) {
    return this.databases.has(name);
  }

  get(name) {
    const database = this.databases.get(name);
    if (!database) {
      const old = this.mode === 'couch1' || this.mode === 'bigcouch';
      throw new Refusal(404, 'not_found', old ? 'no_db_file' : 'Database does not exist.');
    }
    return database;
  }

  create(name) {
    if (!isLegal(name)) {
      throw new Refusal(400, 'illegal_database_name', `Name: '${name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.`);
    }
    if (this.has(name)) {
      throw new Refusal(412, 'file_exists', 'The database could not be created, the file already exists.');
    }
    const id = token();
    const meta = {name, tag: id, location: `db-${id}`, created: Math.floor(Date.now() / 1000)};
    this.storage.writeMeta(meta);
    this.#add(meta);
    this.tell('created', name);
    this.tell('updated', '_dbs');
  }

  /** It is gone at once; its files go when those who still read it are done. */
  remove(name) {
    const database = this.get(name);
    this.databases.delete(name);
    this.sorted = null;
    this.storage.removeMeta(name);
    this.tell('deleted', name);
    this.tell('updated', '_dbs');
    void database.destroy();
  }

  /** Keep a copy of a database as it is now. */
  async snapshot(name) {
    const database = this.get(name);
    await database.use(() => {}); // what was never used has no files yet
    await this.#exchange(database, async ({meta}) => {
      const copy = {location: `snapshot-${token()}`, tag: meta.tag};
      await this.storage.copy(meta.location, copy.location);
      if (meta.snapshot) await this.storage.remove(meta.snapshot.location);
      meta.snapshot = copy;
    });
  }

  /** Put the copy back as an operator does with files: no row anywhere, open streams break off. */
  async restore(name) {
    const database = this.get(name);
    if (!database.meta.snapshot) throw new Refusal(400, 'bad_request', `There is no snapshot of ${name}.`);
    database.emit('cut');
    await this.#exchange(database, async ({meta}) => {
      const location = `db-${token()}`;
      await this.storage.copy(meta.snapshot.location, location);
      await this.storage.remove(meta.location);
      meta.location = location;
      meta.tag = meta.snapshot.tag;
    });
  }

  async #exchange(database, work) {
    await database.alone(async () => {
      if (database.gone) return this.get(database.name);
      await work(database);
      return this.storage.writeMeta(database.meta);
    });
  }

  /** Sequences handed out before are unknown from now on. */
  replay(name) {
    if (this.mode === 'couch1') throw new Refusal(400, 'bad_request', 'Integers cannot be unknown.');
    const {meta} = this.get(name);
    meta.tag = token();
    this.storage.writeMeta(meta);
  }
}

module.exports = {Registry};
