//! Bent handshakes, towards a node that accepts and towards one that dials.

use std::io;
use std::net::{Shutdown, TcpStream};

use quorate::proto::keys::ClusterKeys;
use quorate::proto::rng::Rng;
use quorate::proto::session::{Event, Identity, Session};
use socket2::SockRef;

use super::messages::{Messages, Questions};
use super::mutate::{bend, noise, pick};
use super::node::{
    DIALLED_MEMBER, HANDSHAKE_MEMBER, NODE, Node, PATIENCE, ReadOnce, connect, read_once, write_all,
};
use super::peers::{Link, nonce};
use super::plan::{Family, Job, Places, Queue, Run, Trouble, family};
use super::reach::look_at;
use super::tally::Class;

/// Begins every handshake message; its kind stands two bytes behind.
const MAGIC: &[u8] = b"QRTP";
const KIND_AT: usize = 6;
const KIND_REFUSAL: u8 = 3;
const PRELUDE: usize = 10;

/// Sends the handshakes in the queue, each on a connection of its own.
pub fn send_handshakes(run: &Run, places: &Places, queue: &Queue) -> Result<(), Trouble> {
    while let [job] = queue.take(1, |_| true)[..] {
        let class = shake(run, places, job).map_err(|error| Trouble::new(&[job], error))?;
        run.tally(|tally| tally.input(class));
    }
    Ok(())
}

fn shake(run: &Run, places: &Places, job: Job) -> io::Result<Class> {
    let mut rng = run.rng(job.number);
    let mut stream = connect(run.peer)?;
    let mut hello = Vec::new();
    let session = Session::connect(run.identity(HANDSHAKE_MEMBER), NODE, nonce(&mut rng), &mut hello);
    if let Family::HandshakeCut(cut) = family(job.number) {
        let cut = cut % (places.hellos + places.proofs);
        if cut < hello.len() {
            write_all(&mut stream, &hello[..cut])?;
            let said = read_to_end(&mut stream)?;
            return match said.is_empty() {
                true => Ok(Class::HandshakeHalf),
                false => Err(io::Error::other("a cut hello was answered")),
            };
        }
        write_all(&mut stream, &hello)?;
        let proof = read_proof(&mut stream, session)?;
        write_all(&mut stream, &proof[..cut - hello.len()])?;
        return Ok(class_of(&read_to_end(&mut stream)?));
    }
    match rng.below(10) {
        0..=2 => {
            let other = hello.clone();
            bend(&mut rng, &mut hello, &other);
            write_all(&mut stream, &hello)?;
        }
        3 => write_all(&mut stream, &strange_hello(run, &mut rng))?,
        4..=6 => {
            write_all(&mut stream, &hello)?;
            let mut proof = read_proof(&mut stream, session)?;
            bend(&mut rng, &mut proof, &hello);
            write_all(&mut stream, &proof)?;
        }
        7 => {
            write_all(&mut stream, &hello)?;
            write_all(&mut stream, &hello)?;
        }
        8 => {
            // What the other end gives as its reason must not do harm either.
            let mut refusal = MAGIC.to_vec();
            let length = pick(&mut rng, 300);
            refusal.extend_from_slice(&[1, 0, KIND_REFUSAL, 0]);
            refusal.extend_from_slice(&(length as u16).to_le_bytes());
            refusal.extend(noise(&mut rng, length));
            write_all(&mut stream, &refusal)?;
            read_to_end(&mut stream)?;
            return Ok(Class::HandshakeRefused);
        }
        _ => {
            write_all(&mut stream, &hello)?;
            Link::prove(run, stream, session, rng.next_u64())?;
            return Ok(Class::HandshakeDone);
        }
    }
    Ok(class_of(&read_to_end(&mut stream)?))
}

/// A well-formed hello of somebody who does not belong here.
fn strange_hello(run: &Run, rng: &mut Rng) -> Vec<u8> {
    let mut identity = Identity::clone(&run.identity(HANDSHAKE_MEMBER));
    let mut wanted = NODE;
    match rng.below(5) {
        0 => identity.name = "stranger".into(),
        1 => identity.name = NODE.into(),
        2 => wanted = DIALLED_MEMBER,
        3 => identity.keys = ClusterKeys::derive("another", &ClusterKeys::PUBLIC),
        _ => identity.name = "-".repeat(64),
    }
    let mut hello = Vec::new();
    Session::connect(identity.into(), wanted, nonce(rng), &mut hello);
    hello
}

/// Takes the node's answer to a good hello; returns the proof that is due.
fn read_proof(stream: &mut TcpStream, mut session: Session) -> io::Result<Vec<u8>> {
    let (mut inbox, mut proof) = (Vec::new(), Vec::new());
    let mut buffer = [0; 1_024];
    loop {
        match read_once(stream, &mut buffer)? {
            ReadOnce::Bytes(length) => inbox.extend_from_slice(&buffer[..length]),
            end => return Err(io::Error::other(format!("a good hello ended in {end:?}"))),
        }
        loop {
            let (length, event) = session.handle_bytes(&inbox, &mut proof).map_err(io::Error::other)?;
            match event {
                Event::Starved => break,
                Event::Established { .. } => return Ok(proof),
                Event::Progress | Event::Frames(_) => drop(inbox.drain(..length)),
            }
        }
    }
}

fn read_to_end(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let _ = stream.shutdown(Shutdown::Write);
    let (mut said, mut buffer) = (Vec::new(), [0; 1_024]);
    while let ReadOnce::Bytes(length) = read_once(stream, &mut buffer)? {
        said.extend_from_slice(&buffer[..length]);
    }
    Ok(said)
}

/// What the node's bytes mean: messages of the handshake, a refusal perhaps, or already records.
fn class_of(mut said: &[u8]) -> Class {
    while let Some(prelude) = said.get(..PRELUDE) {
        if &prelude[..MAGIC.len()] != MAGIC {
            return Class::HandshakeDone;
        }
        if prelude[KIND_AT] == KIND_REFUSAL {
            return Class::HandshakeRefused;
        }
        let length = usize::from(u16::from_le_bytes([prelude[8], prelude[9]]));
        said = said.get(PRELUDE + length..).unwrap_or_default();
    }
    Class::HandshakeHalf
}

/// Answers the node's own connections: with a bent handshake, or with a good one and bent frames.
pub fn answer_dialled(run: &Run, node: &Node, queue: &Queue) -> Result<(), Trouble> {
    SockRef::from(&node.dialled)
        .set_read_timeout(Some(PATIENCE))
        .map_err(|error| Trouble::new(&[], format!("a patient listener: {error}")))?;
    while let [job] = queue.take(1, |_| true)[..] {
        let class = answer(run, node, job).map_err(|error| Trouble::new(&[job], error))?;
        run.tally(|tally| tally.input(class));
    }
    Ok(())
}

fn answer(run: &Run, node: &Node, job: Job) -> io::Result<Class> {
    let mut rng = run.rng(job.number);
    loop {
        let (mut stream, _) = node.dialled.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = Session::accept(run.identity(DIALLED_MEMBER), nonce(&mut rng));
        let mut answer = Vec::new();
        if !take_hello(&mut stream, &mut session, &mut answer)? || is_over(&stream)? {
            // It waited too long to be accepted, and the node gave it up.
            continue;
        }
        if job.number.is_multiple_of(2) {
            bend(&mut rng, &mut answer, b"QRTP\x01\x00\x03\x00\x02\x00no");
            write_all(&mut stream, &answer)?;
            read_to_end(&mut stream)?;
            return Ok(Class::DialledRefused);
        }
        write_all(&mut stream, &answer)?;
        let mut link = Link::prove(run, stream, session, rng.next_u64())?;
        let bent = Messages { facts: link.facts(), recent: &run.recent, own_boot: 1, number: job.number }
            .bent(&mut rng, &mut Questions::default());
        let refused = look_at(&bent.frames, &run.facts.keys).refused;
        let through = link.send(run, &[bent.frames])?;
        if refused && through > 0 {
            return Err(io::Error::other("a frame beyond decoding was taken"));
        }
        run.tally(|tally| tally.sealed += 1);
        return Ok(if through > 0 { Class::DialledTaken } else { Class::DialledRefused });
    }
}

/// Takes the node's hello; false if the node has hung up.
fn take_hello(stream: &mut TcpStream, session: &mut Session, answer: &mut Vec<u8>) -> io::Result<bool> {
    let (mut inbox, mut buffer) = (Vec::new(), [0; 1_024]);
    loop {
        match read_once(stream, &mut buffer)? {
            ReadOnce::Bytes(length) => inbox.extend_from_slice(&buffer[..length]),
            _ => return Ok(false),
        }
        let (length, event) = session.handle_bytes(&inbox, answer).map_err(io::Error::other)?;
        if event != Event::Starved {
            assert_eq!(length, inbox.len(), "the node sends its hello and waits");
            return Ok(true);
        }
    }
}

/// Whether the other end has hung up.
fn is_over(stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    Ok(!matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock))
}
