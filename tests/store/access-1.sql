PRAGMA user_version=1;
BEGIN TRANSACTION;
CREATE TABLE limited(address TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "limited" VALUES('203.0.113.9',1700003604);
CREATE TABLE miss(
    address TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(address, name)) WITHOUT ROWID;
INSERT INTO "miss" VALUES('2001:db8::/64','/0004f2000500',1700000002);
INSERT INTO "miss" VALUES('203.0.113.9','/x',1700000003);
INSERT INTO "miss" VALUES('203.0.113.9','/y',1700000004);
CREATE TABLE request(
    mac TEXT NOT NULL, account TEXT NOT NULL, file TEXT NOT NULL, at INTEGER NOT NULL, status INTEGER NOT NULL,
    reason TEXT NOT NULL, remote TEXT NOT NULL, host TEXT NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL,
    legacy INTEGER NOT NULL, own INTEGER NOT NULL, PRIMARY KEY(mac, account, file)) WITHOUT ROWID;
INSERT INTO "request" VALUES('0004f2000500','','0004f2000500.cfg',1700000002,404,'unknown_mac','2001:db8::9','prov.example.com','','',0,0);
INSERT INTO "request" VALUES('001565aabbcc','','y000000000028.cfg',1700000001,304,'not_modified','192.0.2.1','prov.old.example.com','Yealink SIP-T46G 28.72.0.1 00:15:65:aa:bb:cc','t46',1,0);
INSERT INTO "request" VALUES('001565aabbcc','account0000000000000000000000001','001565aabbcc.cfg',1700000000,200,'served','192.0.2.1','prov.example.com','Yealink SIP-T46G 28.72.0.1 00:15:65:aa:bb:cc','t46',0,1);
CREATE TABLE tally(name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
INSERT INTO "tally" VALUES('bytes',1234.0);
INSERT INTO "tally" VALUES('requests phone 200 served',3.0);
INSERT INTO "tally" VALUES('seconds sum',0.25);
COMMIT;
