// PouchDB beside pouchdb-server, as tests/bench/pouchdb.py runs it: prints one JSON object.
//   node pouchdb.js replicate SERVER FOLDER DOCUMENT COUNT   seconds into fresh local databases: as it is set up by
//                                                            itself, and in the batches that are fastest here
//   node pouchdb.js two_way SERVER FOLDER DOCUMENT COUNT     milliseconds from a write in one local database to another's change
"use strict";

const PouchDB = require("pouchdb-core")
  .plugin(require("pouchdb-adapter-http"))
  .plugin(require("pouchdb-adapter-leveldb"))
  .plugin(require("pouchdb-replication"));

const WARM_UP = 5;
// The largest that still makes replication faster here; its own default is 100.
const BATCH = 1000;

async function replicate(server, folder, document, count) {
  const remote = new PouchDB(`${server}/members`);
  for (let start = 0; start < count; start += BATCH) {
    const some = Math.min(BATCH, count - start);
    await remote.bulkDocs(
      Array.from({ length: some }, (_, place) => ({ ...document, _id: `m-${String(start + place).padStart(7, "0")}` })),
    );
  }
  const taken = { documents: count };
  for (const [name, options] of Object.entries({ default_seconds: {}, seconds: { batch_size: BATCH } })) {
    const local = new PouchDB(`${folder}/${name}`, { adapter: "leveldb" });
    const began = performance.now();
    await local.replicate.from(remote, options);
    taken[name] = (performance.now() - began) / 1000;
    const held = (await local.info()).doc_count;
    if (held !== count) throw new Error(`${held} of ${count} documents came`);
  }
  return taken;
}

async function twoWay(server, folder, document, count) {
  const remote = `${server}/edits`;
  const [one, other] = ["one", "other"].map((name) => new PouchDB(`${folder}/${name}`, { adapter: "leveldb" }));
  for (const local of [one, other]) local.sync(remote, { live: true, retry: true });
  const waiting = new Map();
  other.changes({ live: true, since: "now" }).on("change", (change) => {
    const seen = waiting.get(change.id);
    if (seen) seen(performance.now());
  });
  const times = [];
  for (let edit = 0; edit < WARM_UP + count; edit++) {
    const id = `m-${edit}`;
    const seen = new Promise((resolve) => waiting.set(id, resolve));
    const began = performance.now();
    await one.put({ ...document, _id: id });
    times.push((await seen) - began);
  }
  return { times_ms: times.slice(WARM_UP) };
}

const [, , what, server, folder, document, count] = process.argv;
const run = { replicate, two_way: twoWay }[what];
run(server, folder, JSON.parse(document), Number(count)).then((answer) => {
  process.stdout.write(JSON.stringify(answer) + "\n", () => process.exit(0));
});
