//! `Q.STORE`: who may have a backup made, when it is answered, and what its failure says.

use super::fake::Client;
use crate::resp::session::Settings;

fn with_password() -> Settings {
    Settings { password: Some(b"secret".to_vec()), ..Settings::default() }
}

#[test]
fn a_backup_is_answered_in_its_turn_when_it_has_ended() {
    let mut client = Client::new();
    client.send(b"Q.STORE BACKUP /b\r\nPING\r\n");
    assert_eq!(client.taken(), "", "answered before it has ended");
    assert_eq!(client.session.in_flight(), 1);
    let (place, directory) = client.fake.backups.pop_front().expect("it was begun");
    assert_eq!(directory, "/b");
    client.session.handle_backup(place, &Ok(()), &mut client.out);
    assert_eq!(client.taken(), "+OK\r\n+PONG\r\n");
    client.send(b"Q.STORE BACKUP /b\r\n");
    let (place, _) = client.fake.backups.pop_front().expect("it was begun");
    client.session.handle_backup(place, &Err("/b/log/1.seg:\r\nno room".into()), &mut client.out);
    assert_eq!(client.taken(), "-ERR no backup was made: /b/log/1.seg:  no room\r\n");
    assert_eq!(client.session.in_flight(), 0);
}

#[test]
fn what_cannot_be_begun_is_answered_at_once() {
    let mut client = Client::new();
    client.fake.no_backup = Some("/b exists already".into());
    assert_eq!(client.line("Q.STORE BACKUP /b"), "-ERR no backup was made: /b exists already\r\n");
    assert_eq!((client.session.in_flight(), client.line("PING")), (0, "+PONG\r\n".to_owned()));
    assert!(client.line("Q.STORE BACKUP relative").starts_with("-ERR BACKUP takes the whole path"));
    assert!(client.line("Q.STORE BACKUP").starts_with("-ERR wrong number of arguments for 'q.store|backup'"));
    assert!(client.line("Q.STORE NONSENSE").starts_with("-ERR unknown subcommand 'NONSENSE'"));
    assert_eq!(
        client.line("Q.STORE STATUS"),
        "*6\r\n$9\r\nread_only\r\n:0\r\n$9\r\ndisk_full\r\n:0\r\n$10\r\nincomplete\r\n:0\r\n"
    );
}

#[test]
fn only_who_is_here_or_known_has_a_backup_made() {
    let begun = |address: &str, settings: Settings, password: Option<&str>| {
        let mut client = Client::from(address, settings);
        if let Some(password) = password {
            client.line(&format!("AUTH {password}"));
        }
        client.line("Q.STORE BACKUP /b");
        client.fake.backups.len() == 1
    };
    for here in ["127.0.0.1:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000", "/run/quorate.sock:0", "q.sock:0"]
    {
        assert!(begun(here, Settings::default(), None), "{here}");
        assert!(!begun(here, with_password(), Some("wrong")), "{here}");
    }
    for elsewhere in ["192.0.2.1:5000", "[2001:db8::1]:5000", "[fe80::1%2]:5000"] {
        assert!(!begun(elsewhere, Settings::default(), None), "{elsewhere}");
        assert!(begun(elsewhere, with_password(), Some("secret")), "{elsewhere}");
    }
    let answer = Client::from("192.0.2.1:5000", Settings::default()).line("Q.STORE BACKUP /b");
    assert!(answer.starts_with("-NOPERM "), "{answer}");
}
