//! One `quorate` process: started, waited for, signalled, and ended whatever happens to the test.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate");
/// How long anything may take before a test gives up on it. Far above what is needed, so that a busy
/// machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running process of the program.
pub struct Process {
    child: Child,
    /// Lines of its stdout as they come.
    lines: mpsc::Receiver<String>,
    /// Where its stderr goes.
    stderr: PathBuf,
}

impl Process {
    /// Starts the program. Its stderr goes to the end of the file.
    pub fn start(arguments: &[String], stderr: &Path) -> Process {
        Process::spawn(command(arguments), stderr)
    }

    /// Starts a command. Its stderr goes to the end of the file.
    pub fn spawn(mut command: Command, stderr: &Path) -> Process {
        let log = File::options().create(true).append(true).open(stderr).expect("a file for stderr");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Process { child, lines, stderr: stderr.to_owned() }
    }

    /// The next line of its stdout.
    ///
    /// # Panics
    /// None came in time, or stdout ended; shows stderr.
    pub fn line(&self) -> String {
        self.lines
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("no line on stdout ({error}); stderr:\n{}", self.stderr()))
    }

    /// Every line of its stdout from here to its end.
    pub fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
                Err(error) => panic!("stdout does not end: {error}; stderr:\n{}", self.stderr()),
            }
        }
    }

    /// What it has written to stderr.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Kills it as the kernel does (-9) and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().expect("a child can be waited for");
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill starts").success(), "the process is gone");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// It does not.
    pub fn wait(&mut self) -> ExitStatus {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < give_up, "the process does not end; stderr:\n{}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let stderr = self.stderr();
            let lines: Vec<&str> = stderr.lines().collect();
            let last = lines.len().saturating_sub(20);
            println!("{}:\n{}", self.stderr.display(), lines[last..].join("\n"));
        }
    }
}

/// The program with arguments, and with no setting of whoever runs the tests.
pub fn command(arguments: &[String]) -> Command {
    program(Path::new(PROGRAM), arguments)
}

/// Another program with arguments, likewise.
pub fn program(path: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QUORATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// How a process ended that was expected to end by itself.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program until it ends by itself.
///
/// # Panics
/// It does not.
pub fn run(arguments: &[&str]) -> Ended {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    run_command(command(&arguments))
}

/// Runs a command until it ends by itself.
///
/// # Panics
/// It does not.
pub fn run_command(mut command: Command) -> Ended {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let read = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).expect("a pipe can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(Box::new(child.stdout.take().expect("stdout is piped")));
    let stderr = read(Box::new(child.stderr.take().expect("stderr is piped")));
    let give_up = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if Instant::now() > give_up {
            let _ = child.kill();
            panic!("{command:?} does not end");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let text = |thread: thread::JoinHandle<String>| thread.join().expect("reading a pipe does not panic");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// The first of so many ports in a row of the loopback on which nobody listens, and which no other test
/// of this process is given. Taken from below the range out of which the system gives ports to outgoing
/// connections, so that none of those takes one while its node is down.
pub fn free_ports(count: u16) -> u16 {
    const FIRST: u16 = 20_000;
    const PORTS: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port| {
        let address = (Ipv4Addr::LOCALHOST, port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    for _ in 0..PORTS {
        let taken = NEXT.fetch_add(count.into(), Ordering::Relaxed);
        let offset = (std::process::id().wrapping_add(taken) % (PORTS - u32::from(count))) as u16;
        let first = FIRST + offset;
        if (first..first + count).all(is_free) {
            return first;
        }
    }
    panic!("no free port");
}

/// An address of the loopback that nobody listens on.
pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_ports(1)))
}
