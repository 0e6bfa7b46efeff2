use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn to(rooms: &[&str], except: &[&str]) -> BroadcastOptions {
    BroadcastOptions {
        rooms: rooms.iter().map(|&room| room.into()).collect(),
        except: except.iter().map(|&room| room.into()).collect(),
        ..BroadcastOptions::default()
    }
}

fn rooms(names: &[&str]) -> Vec<Room> {
    names.iter().map(|&name| name.into()).collect()
}

fn session(id: &str) -> AwaySession<()> {
    AwaySession { id: id.into(), rooms: rooms(&[id, "a"]), data: () }
}

fn log(change: impl FnOnce(&mut RecoveryConfig)) -> RecoveryLog<u64, ()> {
    let mut config = RecoveryConfig::default();
    change(&mut config);
    RecoveryLog::new(config)
}

/// Records events 0.. of one byte each.
fn record(log: &mut RecoveryLog<u64, ()>, events: &[(&[&str], &[&str])]) {
    for (number, (rooms, except)) in (0..).zip(events) {
        log.record(Offset(number), &to(rooms, except), number, 1, SECOND);
    }
}

#[test]
fn offset_is_read_as_it_was_written_and_nothing_else_is() {
    for value in [0, 1, 63, 64, 0x0123_4567_89ab_cdef, u64::MAX] {
        let text = Offset(value).to_string();
        assert_eq!(text.len(), 11);
        assert_eq!(text.parse(), Ok(Offset(value)));
    }
    for text in
        ["", "0", "00000000000 ", "000000000000", "é000000000", "z0000000000", "0000000000+", "unknown"]
    {
        assert_eq!(text.parse::<Offset>(), Err(InvalidOffset), "{text}");
    }
}

#[test]
fn client_gets_what_its_rooms_were_sent_after_its_offset() {
    let mut log = log(|_| ());
    record(
        &mut log,
        &[
            (&["a"], &[]),
            (&["b"], &[]),
            (&[], &[]),
            (&["a", "b"], &[]),
            (&["a", "a"], &[]),
            (&["a"], &["c"]),
            (&[], &["me"]),
            (&["me"], &[]),
            (&["b", "c"], &[]),
        ],
    );
    assert_eq!(log.missed(&rooms(&["me", "a"]), Offset(0)).unwrap(), [2, 3, 4, 5, 7]);
    assert_eq!(log.missed(&rooms(&["me", "a", "c"]), Offset(2)).unwrap(), [3, 4, 7, 8], "except wins");
    assert_eq!(log.missed(&rooms(&["me"]), Offset(7)).unwrap(), [] as [u64; 0]);
    assert_eq!(log.missed(&rooms(&["me"]), Offset(9)), None);
}

#[test]
fn session_is_taken_once_and_only_with_a_known_offset() {
    let mut log = log(|_| ());
    record(&mut log, &[(&[], &[])]);
    log.persist("secret".into(), session("me"), SECOND);
    assert_eq!(log.take("secret", Offset(5), SECOND), None, "a wrong offset leaves it where it is");
    assert_eq!(log.take("guess", Offset(0), SECOND), None);
    assert!(log.is_away("secret"));
    assert_eq!(log.take("secret", Offset(0), SECOND), Some(session("me")));
    assert_eq!(log.take("secret", Offset(0), SECOND), None);
    assert_eq!(log.session_count(), 0);
}

#[test]
fn what_is_too_old_is_forgotten() {
    let mut log = log(|config| config.max_disconnection = 10 * SECOND);
    record(&mut log, &[(&["a"], &[])]);
    log.persist("old".into(), session("old"), 2 * SECOND);
    assert_eq!(log.poll_timeout(), Some(11 * SECOND));
    log.record(Offset(7), &to(&["a"], &[]), 7, 1, 5 * SECOND);
    log.persist("new".into(), session("new"), 5 * SECOND);
    log.handle_timeout(11 * SECOND);
    assert!(!log.knows(Offset(0)) && log.knows(Offset(7)));
    assert_eq!(log.poll_timeout(), Some(12 * SECOND));
    assert_eq!(log.take("old", Offset(7), 12 * SECOND), None);
    assert!(log.take("new", Offset(7), 14 * SECOND).is_some());
    log.persist("new".into(), session("new"), 14 * SECOND);
    log.handle_timeout(15 * SECOND);
    assert_eq!((log.event_count(), log.session_count()), (0, 1), "it left anew");
    log.handle_timeout(24 * SECOND);
    assert_eq!(log.poll_timeout(), None);
    assert!(log.rooms.is_empty() && log.left.is_empty() && log.events_len == 0);
}

#[test]
fn number_and_bytes_of_events_and_sessions_are_bounded() {
    let mut counted = log(|config| config.max_event_count = 3);
    record(&mut counted, &[(&["a"] as &[&str], &[] as &[&str]); 10]);
    assert_eq!(counted.event_count(), 3);
    assert!(!counted.knows(Offset(6)));
    assert_eq!(counted.missed(&rooms(&["a"]), Offset(7)).unwrap(), [8, 9]);

    let mut measured = log(|config| config.max_events_len = 10);
    for number in 0..4 {
        measured.record(Offset(number), &to(&["a"], &[]), number, 4, SECOND);
    }
    assert_eq!(measured.event_count(), 2);
    measured.record(Offset(9), &to(&["a"], &[]), 9, 11, SECOND);
    assert_eq!(measured.event_count(), 0, "what is longer than all is not kept");
    assert!(measured.rooms.is_empty());

    let mut sessions = log(|config| config.max_session_count = 2);
    record(&mut sessions, &[(&[], &[])]);
    for pid in ["1", "2", "1", "3"] {
        sessions.persist(pid.into(), session("me"), SECOND);
    }
    assert_eq!(sessions.session_count(), 2);
    assert_eq!(sessions.left.len(), 2);
    assert!(sessions.take("2", Offset(0), SECOND).is_none(), "it left first");
    assert!(sessions.take("1", Offset(0), SECOND).is_some());
}

proptest! {
    #[test]
    fn log_agrees_with_a_plain_list(
        events in proptest::collection::vec(
            (proptest::collection::vec(0usize..4, 0..3), proptest::collection::vec(0usize..4, 0..2), 1usize..4),
            1..60,
        ),
        own in proptest::collection::vec(0usize..4, 0..4),
        max_count in 1usize..40,
        max_len in 1usize..60,
        last in 0usize..60,
    ) {
        let names = ["a", "b", "c", "d"];
        let name = |list: &[usize]| -> Vec<&str> { list.iter().map(|&i| names[i]).collect() };
        let mut log = log(|config| {
            config.max_event_count = max_count;
            config.max_events_len = max_len;
        });
        for (number, (rooms, except, len)) in events.iter().enumerate() {
            log.record(Offset(number as u64), &to(&name(rooms), &name(except)), number as u64, *len, SECOND);
        }
        // The longest end of the list that fits.
        let mut kept = 0;
        let mut kept_len = 0;
        for (_, _, len) in events.iter().rev() {
            kept_len += len;
            if kept == max_count || kept_len > max_len {
                break;
            }
            kept += 1;
        }
        let first = events.len() - kept;
        prop_assert_eq!(log.event_count(), kept);
        let expected = (first..events.len()).contains(&last).then(|| {
            (last + 1..events.len())
                .filter(|&number| {
                    let (rooms, except, _) = &events[number];
                    let meant = rooms.is_empty() || rooms.iter().any(|room| own.contains(room));
                    meant && !except.iter().any(|room| own.contains(room))
                })
                .map(|number| number as u64)
                .collect::<Vec<_>>()
        });
        prop_assert_eq!(log.missed(&rooms(&name(&own)), Offset(last as u64)), expected);
    }
}
