use super::*;
use sockeye_socketio::{Args, Parser};

fn packet(text: &str) -> Outgoing {
    Outgoing::event(Parser::Json, "/", None, text, &()).unwrap()
}

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

fn answer() -> OwnedArgs {
    Args::from_array("[1]").unwrap().into()
}

fn queued(name: &str, sender: Option<AckSender>, timeout: u64) -> Queued {
    Queued {
        name: name.into(),
        args: Args::default().into(),
        len: name.len(),
        compress: true,
        timeout: Some(Duration::from_secs(timeout)),
        sender,
        try_count: 0,
        ack_id: None,
        deadline: None,
    }
}

fn texts(packets: &[Outgoing]) -> Vec<&str> {
    packets.iter().map(|packet| std::str::from_utf8(&packet.head.payload()[1..]).unwrap()).collect()
}

mod buffer {
    use super::*;

    #[test]
    fn events_leave_in_the_order_in_which_they_came() {
        let (mut state, config, mut told) = (State::default(), Config::default(), Told::default());
        for name in ["a", "b", "c"] {
            state.buffer(packet(name), None, &config, &mut told).unwrap();
        }
        assert_eq!(texts(&state.take_buffer()), [r#"2["a"]"#, r#"2["b"]"#, r#"2["c"]"#]);
        assert_eq!(state.waiting_count(), 0);
    }

    #[test]
    fn it_is_bounded_in_count_and_bytes() {
        for config in
            [config(|config| config.max_buffer_count = 2), config(|config| config.max_buffer_len = 15)]
        {
            let (mut state, mut told) = (State::default(), Told::default());
            state.buffer(packet("a"), None, &config, &mut told).unwrap();
            state.buffer(packet("b"), None, &config, &mut told).unwrap();
            let refused = state.buffer(packet("c"), None, &config, &mut told);
            assert!(matches!(refused, Err(EmitError::BufferFull)));
            assert_eq!(texts(&state.take_buffer()), [r#"2["a"]"#, r#"2["b"]"#]);
            state.buffer(packet("d"), None, &config, &mut told).unwrap();
        }
    }

    #[test]
    fn the_oldest_make_room_and_who_waits_for_them_is_told() {
        let config = config(|config| {
            config.max_buffer_count = 2;
            config.buffer_policy = BufferPolicy::DropOldest;
        });
        let (mut state, mut told) = (State::default(), Told::default());
        let (sender, mut receiver) = oneshot::channel();
        state.expect(7, sender);
        state.buffer(packet("a"), Some(7), &config, &mut told).unwrap();
        state.buffer(packet("b"), None, &config, &mut told).unwrap();
        state.buffer(packet("c"), None, &config, &mut told).unwrap();
        told.send();
        assert!(matches!(receiver.try_recv(), Ok(Err(AckError::Dropped))));
        assert_eq!(texts(&state.take_buffer()), [r#"2["b"]"#, r#"2["c"]"#]);
    }

    #[test]
    fn an_event_larger_than_the_buffer_is_refused_by_either_policy() {
        for policy in [BufferPolicy::Reject, BufferPolicy::DropOldest] {
            let config = config(|config| {
                config.max_buffer_len = 3;
                config.buffer_policy = policy;
            });
            let refused = State::default().buffer(packet("a"), None, &config, &mut Told::default());
            assert!(matches!(refused, Err(EmitError::BufferFull)));
        }
    }

    #[test]
    fn an_event_whose_answer_is_too_late_is_not_sent_any_more() {
        let (mut state, config, mut told) = (State::default(), Config::default(), Told::default());
        for id in 0..3 {
            let (sender, _) = oneshot::channel();
            state.expect(id, sender);
            state.buffer(packet(&id.to_string()), Some(id), &config, &mut told).unwrap();
        }
        state.forget(1, true);
        state.forget(2, false);
        assert_eq!(texts(&state.take_buffer()), [r#"2["0"]"#, r#"2["2"]"#]);
        assert_eq!(state.ack_count(), 1);
    }
}

mod acks {
    use super::*;

    #[test]
    fn the_first_answer_counts_and_others_are_ignored() {
        let (mut state, mut told) = (State::default(), Told::default());
        let (sender, mut receiver) = oneshot::channel();
        state.expect(3, sender);
        assert!(!state.resolve(4, answer, &mut told));
        assert!(!state.resolve(3, answer, &mut told));
        assert!(!state.resolve(3, answer, &mut told));
        told.send();
        assert!(receiver.try_recv().unwrap().is_ok());
        assert_eq!(state.ack_count(), 0);
    }

    #[test]
    fn a_disconnection_fails_what_was_sent_and_not_what_waits_to_be() {
        let (mut state, config, mut told) = (State::default(), Config::default(), Told::default());
        let (sent, mut sent_receiver) = oneshot::channel();
        let (waiting, mut waiting_receiver) = oneshot::channel();
        state.expect(0, sent);
        state.expect(1, waiting);
        state.buffer(packet("a"), Some(1), &config, &mut told).unwrap();
        state.disconnect(Phase::Connecting, 0, &mut told);
        told.send();
        assert!(matches!(sent_receiver.try_recv(), Ok(Err(AckError::Disconnected))));
        assert!(waiting_receiver.try_recv().is_err());
        assert_eq!((state.ack_count(), state.waiting_count()), (1, 1));
    }

    #[test]
    fn the_end_of_the_client_fails_all() {
        let (mut state, config, mut told) = (State::default(), Config::default(), Told::default());
        let receivers: Vec<_> = (0..3)
            .map(|id| {
                let (sender, receiver) = oneshot::channel();
                match id {
                    0 => state.expect(id, sender),
                    1 => {
                        state.expect(id, sender);
                        state.buffer(packet("a"), Some(id), &config, &mut told).unwrap();
                    }
                    _ => state.enqueue(queued("b", Some(sender), 1), &config, &mut told).unwrap(),
                }
                receiver
            })
            .collect();
        state.abandon(&mut told);
        told.send();
        for mut receiver in receivers {
            assert!(receiver.try_recv().unwrap().is_err());
        }
        assert_eq!((state.ack_count(), state.waiting_count()), (0, 0));
    }
}

mod retries {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn connected() -> State {
        State { phase: Phase::Connected, ..State::default() }
    }

    fn next(state: &mut State, id: u64) -> Option<(String, u32)> {
        state.next_queued(NOW, || id).map(|queued| (queued.name.clone(), queued.try_count))
    }

    #[test]
    fn one_is_under_way_at_a_time_and_in_order() {
        let (mut state, config, mut told) = (connected(), Config::default(), Told::default());
        state.enqueue(queued("a", None, 1), &config, &mut told).unwrap();
        state.enqueue(queued("b", None, 1), &config, &mut told).unwrap();
        assert_eq!(next(&mut state, 0), Some(("a".into(), 1)));
        assert_eq!(next(&mut state, 1), None);
        assert!(state.resolve(0, answer, &mut told));
        assert_eq!(next(&mut state, 2), Some(("b".into(), 1)));
        assert!(state.resolve(2, answer, &mut told));
        assert_eq!(next(&mut state, 3), None);
        assert_eq!(state.waiting_count(), 0);
    }

    #[test]
    fn each_try_has_an_ack_id_of_its_own_and_a_late_answer_to_an_earlier_one_is_ignored() {
        let (mut state, config, mut told) = (connected(), Config::default(), Told::default());
        state.enqueue(queued("a", None, 1), &config, &mut told).unwrap();
        next(&mut state, 0);
        let deadline = NOW + Duration::from_secs(1);
        assert_eq!(state.queue_deadline(), Some(deadline));
        state.expire_queued(deadline - Duration::from_nanos(1), 2, &mut told);
        assert_eq!(next(&mut state, 1), None);
        state.expire_queued(deadline, 2, &mut told);
        assert_eq!(next(&mut state, 1), Some(("a".into(), 2)));
        assert!(!state.resolve(0, answer, &mut told));
        assert!(state.resolve(1, answer, &mut told));
    }

    #[test]
    fn after_as_many_retries_as_allowed_it_is_given_up() {
        let (mut state, config, mut told) = (connected(), Config::default(), Told::default());
        let (sender, mut receiver) = oneshot::channel();
        state.enqueue(queued("a", Some(sender), 1), &config, &mut told).unwrap();
        state.enqueue(queued("b", None, 1), &config, &mut told).unwrap();
        for id in 0..3 {
            assert_eq!(next(&mut state, id).unwrap().0, "a");
            state.expire_queued(NOW + Duration::from_secs(1), 2, &mut told);
        }
        told.send();
        assert!(matches!(receiver.try_recv(), Ok(Err(AckError::Timeout))));
        assert_eq!(next(&mut state, 3), Some(("b".into(), 1)));
    }

    #[test]
    fn a_disconnection_ends_a_try() {
        let (mut state, config, mut told) = (connected(), Config::default(), Told::default());
        let (sender, mut receiver) = oneshot::channel();
        state.enqueue(queued("a", Some(sender), 1), &config, &mut told).unwrap();
        next(&mut state, 0);
        state.disconnect(Phase::Connecting, 1, &mut told);
        assert_eq!(next(&mut state, 1), None);
        assert_eq!(state.queue_deadline(), None);
        state.phase = Phase::Connected;
        assert_eq!(next(&mut state, 1), Some(("a".into(), 2)));
        state.disconnect(Phase::Connecting, 1, &mut told);
        told.send();
        assert!(matches!(receiver.try_recv(), Ok(Err(AckError::Disconnected))));
        assert_eq!(state.waiting_count(), 0);
    }

    #[test]
    fn the_queue_is_bounded_and_keeps_what_is_under_way() {
        let config = config(|config| {
            config.max_buffer_count = 2;
            config.buffer_policy = BufferPolicy::DropOldest;
        });
        let (mut state, mut told) = (connected(), Told::default());
        state.enqueue(queued("a", None, 1), &config, &mut told).unwrap();
        next(&mut state, 0);
        state.enqueue(queued("b", None, 1), &config, &mut told).unwrap();
        state.enqueue(queued("c", None, 1), &config, &mut told).unwrap();
        assert!(state.resolve(0, answer, &mut told));
        assert_eq!(next(&mut state, 1), Some(("c".into(), 1)));
    }
}
