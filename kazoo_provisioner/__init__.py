"""kazoo-provisioner: follows Kazoo's documents, keeps every phone's files ready, answers the phones.

The map of the package. Arrows point down: a room knows those below it, never its neighbours or those above
(import-linter checks it, tests/test_house.py compares this page with the folders).

    cli             serve | check | render | explain | tail | models
    workshop        what `render` and `explain` look at
    tail            the log for people
    supervisor      lock, sockets, children, the operator's pages
    app             composition root: reader, writer; the only file that knows everyone

    sync            writer side: changes in, releases out
      affected        from a document that moved to the phones it concerns
      ingest          documents, dirty marks and position, in one transaction
      accounts        what all phones of an account share
      claims          whose MAC address it is
      reconcile       from a dirty mark to what is served
      ahead           rendering ahead of the first pass, on the other cores
      preview         a device's files as they would be made now
      versions        new templates, code or settings: what they re-render
      run             the writer's loop
      explain         why a phone gets what it gets
      requests        what a phone asked for last
    web             reader side: never computes
      paths           a path to an account and a file; the URLs of other provisioners
      phones          an account and a file to what is stored
      agents          what a User-Agent tells
      api             the catalogue, for kazoo-ui and Monster-UI
      server          one log line for each request, and limits
      connection      how many, how slow, and what is no HTTP
      proxy_protocol  what a proxy says of its client before HTTP begins
      remote          who asks, directly or through proxies
      reply           an answer's bytes
      notes           what a reader notes of requests and shares with the others
      ops             the operator's pages
      figures         what they show, looked up beside the loop
      status          the shape of /status
      metrics         /metrics, for Prometheus

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
      errors          what went wrong in a template
      loader          templates of the search path
      formats         the phones' syntaxes: escaping, and reading back
      free            free settings, put into a phone's files
      samples         the phones that `check` renders
      check           whether templates make what they should
    store           the only room that knows SQLite
      schema          tables, migrations, the lock
      documents       documents, references, positions
      queue           causes and dirty marks
      releases        blobs, releases, served names, states, claims
      writer          all of it, for the one writer
      reader          look-ups, for those who answer phones
      counts          counts, for the operator
      access          what those who answer phones remember, in a file of its own

    catalogue       brands, families, models as data, pure
      models          the shape of brand.yaml and family.yaml
      folders         where templates are looked for
      load            vendor_templates/ into a catalogue
      table           docs/models.md
      settled         whether settings name brands and models that there are
      identify        who asks, by User-Agent and file name: hints
      fit             a phone cut down to what its model can do
    model           Kazoo's documents into a frozen Phone, pure
      ids             MAC addresses, account ids, databases
      wire            documents as they arrive
      text            text made fit for a phone
      phone           Phone, Line, Key, Phonebook: all that a template sees
      timezone        IANA zones
      keys            programmable keys
      merge           account + owner + device into a Phone
      parameters      free settings, from settings and documents
      phonebook       users and callflows into a Phonebook

    processes       children: started, watched, restarted
    logs            one pipeline, no secrets
    columns         log lines for people
    sink            where log lines go, holding nobody up
    settings        the settings file
    layers          what the operator says of phones, by zone, reseller and account
    yamlfile        YAML without surprises, into frozen structs
    crashpoints     named places where tests kill the writer
"""
