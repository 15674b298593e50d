//! Tests of the options of a node in C.

use super::*;
use crate::proto::keys::ClusterKeys;

#[test]
fn keys_are_unique_and_their_numbers_stay() {
    for (at, key) in KEYS.iter().enumerate() {
        assert!(KEYS[..at].iter().all(|other| other.0 != key.0 && other.1 != key.1 && other.2 != key.2));
        assert_eq!(key.1.strip_prefix("QUORATE_OPT_").unwrap().to_lowercase().replace('_', "-"), key.2);
    }
    assert_eq!((MODE, CLIENTS_MAX, DIR, UNIX_PATH, MEMBERS, CLIENT_ADDR), (1, 18, 64, 69, 96, 97));
    assert_eq!((PLACEMENT, MAX_PER_ZONE, WEIGHTS), (24, 25, 98));
    assert_eq!((FOUND, AUTO_COMMIT, DROP_AFTER_S, TRANSFER_BYTES, ZONE, JOIN), (26, 27, 28, 29, 70, 99));
    assert_eq!((CLIENT_ROLE, HINT_BYTES, HINT_AGE_S, HINT_RATE, GOSSIP_KEY_FILE), (30, 31, 32, 33, 100));
    assert_eq!((REAP_AFTER_S, CARRIER), (34, 35));
}

#[test]
fn the_ends_of_each_range_are_taken_and_nothing_beyond() {
    for key in KEYS {
        let mut options = quorate_options::default();
        match key.3 {
            Kind::Number(low, high, words) => {
                assert_eq!(options.set_number(key.0, low), Ok(OK));
                assert_eq!(options.set_number(key.0, high), Ok(OK));
                if high < u64::MAX {
                    assert_eq!(options.set_number(key.0, high + 1), Err(E_ARG));
                }
                assert_eq!(options.set_bytes(key.0, b"1"), Err(E_TYPE));
                for word in words {
                    assert_eq!(options.parse(key.2.as_bytes(), word.0.as_bytes()), Ok(()));
                    assert_eq!(options.number(key.0), Some(word.1));
                }
            }
            Kind::Text => assert_eq!(options.add_bytes(key.0, b"1"), Err(E_TYPE)),
            Kind::List => assert_eq!(options.set_number(key.0, 1), Err(E_TYPE)),
        }
    }
    let mut options = quorate_options::default();
    assert_eq!(options.set_number(0, 1), Err(E_UNSUPPORTED));
    assert_eq!(options.set_number(u32::MAX, 1), Err(E_UNSUPPORTED));
}

#[test]
fn a_wrong_text_is_named_with_what_was_expected() {
    let mut options = quorate_options::default();
    let (status, text) = options.parse(b"sync", b"sometimes").unwrap_err();
    assert_eq!((status, text.as_str()), (E_ARG, "sync: `sometimes` is not memory, interval, always"));
    let (status, text) = options.parse(b"colour", b"red").unwrap_err();
    assert_eq!((status, text.as_str()), (E_UNSUPPORTED, "no option is named `colour`"));
    assert_eq!(options.parse(b"sync_interval_ms", b" 250 "), Ok(()));
    assert_eq!(options.core().unwrap().sync_interval, Duration::from_millis(250));
}

#[test]
fn a_list_is_replaced_by_set_and_grown_by_add() {
    let mut options = quorate_options::default();
    options.set_bytes(MEMBERS, b"A@127.0.0.1:1, B@127.0.0.1:2").unwrap();
    options.add_bytes(MEMBERS, b"C").unwrap();
    let members = options.core().unwrap().members;
    let shown: Vec<_> = members.iter().map(|m| (m.name.as_str(), m.address.as_str())).collect();
    assert_eq!(shown, [("A", "127.0.0.1:1"), ("B", "127.0.0.1:2"), ("C", "")]);
}

#[test]
fn gossip_keys_are_a_list_of_files_and_the_derived_one() {
    let mut options = quorate_options::default();
    assert!(options.gather().unwrap().keyring.is_none());
    options.add_bytes(GOSSIP_KEY_FILE, b"derived").unwrap();
    let own = ClusterKeys::derive("quorate", &ClusterKeys::PUBLIC).gossip;
    assert_eq!(options.gather().unwrap().keyring.unwrap().in_use().1, &own);
    options.parse(b"gossip-key-file", b"derived, /no/such/file").unwrap();
    let text = options.gather().unwrap_err();
    assert!(text.starts_with("gossip-key-file: /no/such/file: "), "{text}");
}
