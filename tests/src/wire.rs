//! A wire tap between the server and PostgreSQL: what statements a request really sends.
//!
//! It listens on a unix socket of its own, passes everything on, and reads what passes in the frontend
//! protocol (PostgreSQL documentation, chapter 55). Neither side knows of it, and nothing has to be set
//! in the database.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// One thing that the server asked of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// A statement was parsed, which one that is kept prepared is once per connection.
    Parsed(String),
    /// A statement was carried out. All statements of a transaction have one number; a statement
    /// outside of a transaction has a number of its own.
    Run(usize, String),
}

/// The tap.
pub struct Tap {
    directory: PathBuf,
    seen: Arc<Seen>,
}

/// What all connections have seen.
#[derive(Default)]
struct Seen {
    sent: Mutex<Vec<Sent>>,
    /// The number of the next transaction.
    next: AtomicUsize,
    /// The first transaction that began after the last look.
    since: AtomicUsize,
}

/// The number in the socket's name; no network is involved.
const PORT: u16 = 5432;

impl Tap {
    /// Listens in `directory` for connections to the server whose socket is at `server`.
    pub fn open(directory: &Path, server: &Path) -> Self {
        let listener = UnixListener::bind(directory.join(format!(".s.PGSQL.{PORT}")));
        let listener = listener.expect("a socket can be made in a private directory");
        let seen = Arc::new(Seen::default());
        let (shared, server) = (Arc::clone(&seen), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = UnixStream::connect(&server).expect("the database listens");
                pass_on(client, server, &shared);
            }
        });
        Self { directory: directory.to_owned(), seen }
    }

    /// The URL of a database behind the tap, given the URL of the same database in front of it.
    pub fn url(&self, direct: &str) -> String {
        let (path, _) = direct.split_once('?').expect("the test server is reached by a socket");
        format!("{path}?host={}&port={PORT}&user=postgres", self.directory.display())
    }

    /// Returns what was sent since the last call, without transactions that had begun before.
    pub fn taken(&self) -> Vec<Sent> {
        let mut sent = self.seen.sent.lock().expect("no reader panics");
        let since = self.seen.since.swap(self.seen.next.load(SeqCst), SeqCst);
        let mut taken = std::mem::take(&mut *sent);
        taken.retain(|one| !matches!(one, Sent::Run(number, _) if *number < since));
        taken
    }
}

/// The socket of the test server, by its URL.
pub fn socket(url: &str) -> PathBuf {
    let host = url.split(['?', '&']).find_map(|part| part.strip_prefix("host="));
    let host = host.expect("the test server is reached by a socket");
    Path::new(host).join(format!(".s.PGSQL.{PORT}"))
}

fn pass_on(client: UnixStream, server: UnixStream, seen: &Arc<Seen>) {
    let (mut from_client, mut to_server) = (client, server);
    let mut back = (
        to_server.try_clone().expect("a socket can be cloned"),
        from_client.try_clone().expect("a socket can be cloned"),
    );
    std::thread::spawn(move || {
        drop(std::io::copy(&mut back.0, &mut back.1));
        drop(back.1.shutdown(Shutdown::Both));
    });
    let seen = Arc::clone(seen);
    std::thread::spawn(move || {
        let mut reader = Reader::default();
        let mut part = [0; 16 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut part) {
            reader.take(&part[..length], &seen);
            if to_server.write_all(&part[..length]).is_err() {
                break;
            }
        }
        drop(to_server.shutdown(Shutdown::Both));
    });
}

/// Reads the messages of one client.
#[derive(Default)]
struct Reader {
    /// The number of the transaction that is open.
    open: Option<usize>,
    /// Whether the first message, which has no type, has passed.
    begun: bool,
    pending: Vec<u8>,
    /// The texts of prepared statements by name.
    statements: HashMap<String, String>,
    /// The statement that each portal is bound to.
    portals: HashMap<String, String>,
}

impl Reader {
    fn take(&mut self, bytes: &[u8], seen: &Seen) {
        self.pending.extend_from_slice(bytes);
        loop {
            let typed = usize::from(self.begun);
            let Some(length) = self.pending.get(typed..typed + 4) else { return };
            let length = u32::from_be_bytes(length.try_into().expect("these are four bytes"));
            let end = typed + usize::try_from(length).expect("a message fits into memory");
            if self.pending.len() < end {
                return;
            }
            let message: Vec<u8> = self.pending.drain(..end).collect();
            if std::mem::replace(&mut self.begun, true) {
                self.message(message[0], &message[5..], seen);
            } else if message[4..8] == [4, 210, 22, 47] || message[4..8] == [4, 210, 22, 48] {
                // A request for encryption is answered with a letter, and the first message follows.
                self.begun = false;
            }
        }
    }

    fn message(&mut self, kind: u8, body: &[u8], seen: &Seen) {
        let mut texts = body.split(|byte| *byte == 0);
        let mut text = || String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned();
        let done = match kind {
            b'Q' => Some(self.run(text(), seen)),
            b'P' => {
                let (name, statement) = (text(), text());
                self.statements.insert(name, statement.clone());
                Some(Sent::Parsed(statement))
            }
            b'B' => {
                let (portal, name) = (text(), text());
                let statement = self.statements.get(&name).cloned().unwrap_or_default();
                self.portals.insert(portal, statement);
                None
            }
            b'E' => {
                let statement = self.portals.get(&text()).cloned().unwrap_or_default();
                Some(self.run(statement, seen))
            }
            _ => None,
        };
        if let Some(done) = done {
            seen.sent.lock().expect("no reader panics").push(done);
        }
    }

    fn run(&mut self, statement: String, seen: &Seen) -> Sent {
        let begins = statement.starts_with("BEGIN");
        let number = match self.open {
            Some(number) if !begins => number,
            _ => seen.next.fetch_add(1, SeqCst),
        };
        let ends = statement.starts_with("COMMIT") || statement.starts_with("ROLLBACK");
        self.open = (begins || (self.open.is_some() && !ends)).then_some(number);
        Sent::Run(number, statement)
    }
}

/// The statements of a request, without those that begin and end transactions, without the row of the
/// token, and without what the server does in the background.
pub fn of_request(sent: &[Sent]) -> Vec<String> {
    let mut transactions: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for one in sent {
        if let Sent::Run(number, statement) = one {
            transactions.entry(*number).or_default().push(statement.trim());
        }
    }
    let of_request = |all: &Vec<&str>| !all.iter().any(|statement| is_background(statement));
    let frame = |statement: &&str| {
        ["BEGIN", "COMMIT", "ROLLBACK"].iter().any(|word| statement.starts_with(word))
    };
    let statements = transactions.into_values().filter(of_request).flatten();
    statements.filter(|statement| !frame(statement)).map(str::to_owned).collect()
}

/// Statements of the token's row, of the provisioning log, and of who seals and counts.
fn is_background(statement: &str) -> bool {
    let words = ["tokens", "advisory", "requests", "request_names", "quirk_counts", "count(*)"];
    words.iter().any(|word| statement.contains(word))
}
