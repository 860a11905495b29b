'use strict';

// Where the databases are: in memory, or in a folder (leveldb: what was acknowledged survives a SIGKILL).

const fs = require('node:fs');
const path = require('node:path');
const PouchDB = require('pouchdb');
PouchDB.plugin(require('pouchdb-adapter-memory'));
// The very module that the adapter uses: its stores are shared by their names.
const memdown = require(require.resolve('memdown', {paths: [require.resolve('pouchdb-adapter-memory')]}));

const called = (call) => new Promise((resolve, reject) => {
  call((error, value) => (error ? reject(error) : resolve(value)));
});

class MemoryStorage {
  open(location) {
    return new PouchDB(location, {adapter: 'memory'});
  }

  /** Every key and value, so that sequences, revision trees and _local documents are the same. */
  async copy(from, to) {
    const [source, target] = [memdown(from), memdown(to)];
    await Promise.all([called((done) => source.open(done)), called((done) => target.open(done))]);
    const iterator = source.iterator({keyAsBuffer: false, valueAsBuffer: false}); // as PouchDB wrote them
    const next = () => new Promise((resolve, reject) => {
      iterator.next((error, key, value) => (error ? reject(error) : resolve(key && {type: 'put', key, value})));
    });
    const entries = [];
    for (let entry = await next(); entry; entry = await next()) entries.push(entry);
    await called((done) => target.batch(entries, done));
  }

  remove(location) {
    return called((done) => memdown.destroy(location, done));
  }

  metas() {
    return [];
  }

  writeMeta() {}

  removeMeta() {}
}

class FolderStorage {
  constructor(folder) {
    this.folder = folder;
    fs.mkdirSync(folder, {recursive: true});
  }

  path(location) {
    return path.join(this.folder, location);
  }

  open(location) {
    return new PouchDB(this.path(location), {adapter: 'leveldb'});
  }

  async copy(from, to) {
    await fs.promises.cp(this.path(from), this.path(to), {recursive: true, force: true});
  }

  async remove(location) {
    await fs.promises.rm(this.path(location), {recursive: true, force: true});
  }

  metaPath(name) {
    return this.path(`${encodeURIComponent(name)}.json`);
  }

  metas() {
    const files = fs.readdirSync(this.folder).filter((file) => file.endsWith('.json'));
    return files.map((file) => JSON.parse(fs.readFileSync(this.path(file), 'utf8')));
  }

  writeMeta(meta) {
    const file = this.metaPath(meta.name);
    fs.writeFileSync(`${file}.new`, JSON.stringify(meta));
    fs.renameSync(`${file}.new`, file);
  }

  removeMeta(name) {
    fs.rmSync(this.metaPath(name), {force: true});
  }
}

const openStorage = (folder) => (folder ? new FolderStorage(folder) : new MemoryStorage());

module.exports = {openStorage};
