"""kazoo-provisioner: follows Kazoo's documents, keeps every phone's files ready, answers the phones.

The map of the package. Arrows point down: a room knows those below it, never its neighbours or those above
(import-linter checks it, tests/test_house.py compares this page with the folders).

    cli             serve | check | render | explain | models
    workshop        what `render` and `explain` look at
    app             composition root: supervisor, reader, writer; the only file that knows everyone

    sync            writer side: changes in, releases out
      affected        from a document that moved to the phones it concerns
      ingest          documents, dirty marks and position, in one transaction
      accounts        what all phones of an account share
      claims          whose MAC address it is
      reconcile       from a dirty mark to what is served
      ahead           rendering ahead of the first pass, on the other cores
      versions        new templates, code or settings: what they re-render
      run             the writer's loop
      explain         why a phone gets what it gets
    web             reader side: never computes
      phones          a path to a stored file
      api             the catalogue, for kazoo-ui and Monster-UI
      server          the sockets and one log line for each request
      ops             the operator's pages

    sources         where documents come from
      base            what every source is: changes, positions, "caught up" marks, the inbox
      couch           Kazoo's CouchDB or BigCouch cluster; the only room that knows CouchDB
        source          connect, follow, and begin again
        follow          visits to the databases that moved, and sweeps over all
        updates         `_db_updates`: which databases moved
        feeds           feeds that stay open on those that moved lately
        visits          the queue of databases to look at
        read            one database: what is new, all of it, what comes
        database        how far one was read, and what speaks for a restored one
        known           all databases, and what outlives a connection
        cluster         nodes, credentials, requests
        server          who answers, and what may be asked of it
        answers         what comes back
        rows            the lines of the feeds
        errors          what can go wrong, in words that quote nothing
        check           what an operator wants to know before the first start
      directory       a folder of Kazoo database dumps
    render          from a Phone to files, pure
      engine          Jinja
      formats         the phones' syntaxes: escaping, and reading back
      samples         the phones that `check` renders
      check           whether templates make what they should
    store           the only room that knows SQLite
      schema          tables, migrations, the lock
      documents       documents, references, positions
      queue           causes and dirty marks
      releases        blobs, releases, served names, states, claims
      writer          all of it, for the one writer
      reader          look-ups, for those who answer phones and operators

    catalogue       brands, families, models as data, pure
      models          the shape of family.yaml
      load            vendor_templates/ into a catalogue
      fit             a phone cut down to what its model can do
    model           Kazoo's documents into a frozen Phone, pure
      ids             MAC addresses, account ids, databases
      wire            documents as they arrive
      text            text made fit for a phone
      phone           Phone, Line, Key, Phonebook: all that a template sees
      timezone        IANA zones
      keys            programmable keys
      merge           account + owner + device into a Phone
      phonebook       users and callflows into a Phonebook

    processes       children: started, watched, restarted
    logs            one pipeline, no secrets
    settings        YAML into frozen structs
    yamlfile        YAML without surprises
    crashpoints     named places where tests kill the writer
"""
