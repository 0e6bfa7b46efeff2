//! The answers to a broadcast: who has to answer, and who has.

use crate::Payload;

/// Collects the answers to a broadcast, of servers and clients that report in any order.
///
/// ```text
/// servers  expected 3   told 2     clients 4 + 2 + ?    answers 5
/// complete when      3 == 3   and            6 == 6 answers + gone
/// ```
#[derive(Debug)]
pub struct AckCollector {
    /// How many namespaces' adapters have not told yet how many servers there are.
    unknown: usize,
    servers: usize,
    told: usize,
    clients: usize,
    gone: usize,
    answers: Vec<Payload>,
}

impl AckCollector {
    /// Nothing is known yet of a broadcast in so many namespaces, which is one unless it is that of a dynamic namespace.
    pub const fn new(namespaces: usize) -> Self {
        Self { unknown: namespaces, servers: 0, told: 0, clients: 0, gone: 0, answers: Vec::new() }
    }

    /// How many servers there are besides this one; told once for each namespace.
    pub fn server_count(&mut self, others: usize) {
        self.unknown = self.unknown.saturating_sub(1);
        self.servers = self.servers.saturating_add(others).saturating_add(1);
    }

    /// A server, this one or another, sent the event to this many clients.
    pub fn client_count(&mut self, count: usize) {
        self.told += 1;
        self.clients = self.clients.saturating_add(count);
    }

    /// A client answered.
    pub fn answer(&mut self, answer: Payload) {
        if !self.is_complete() {
            self.answers.push(answer);
        }
    }

    /// So many clients will never answer.
    pub fn gone(&mut self, count: usize) {
        self.gone = self.gone.saturating_add(count);
    }

    /// Whether nothing is to be waited for any more.
    pub fn is_complete(&self) -> bool {
        self.unknown == 0
            && self.told >= self.servers
            && self.answers.len().saturating_add(self.gone) >= self.clients
    }

    /// Whether clients are gone that did not answer.
    pub fn has_gone(&self) -> bool {
        self.gone > 0
    }

    /// The answers so far, which are taken out.
    pub fn take_answers(&mut self) -> Vec<Payload> {
        std::mem::take(&mut self.answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_to_nobody_is_complete_at_once() {
        let mut acks = AckCollector::new(1);
        acks.client_count(0);
        assert!(!acks.is_complete(), "other servers may have clients");
        acks.server_count(0);
        assert!(acks.is_complete());
        assert!(acks.take_answers().is_empty());
    }

    #[test]
    fn answers_may_come_before_counts() {
        let mut acks = AckCollector::new(1);
        acks.answer(Payload::args(&1).unwrap());
        acks.client_count(1);
        acks.server_count(1);
        assert!(!acks.is_complete(), "the other server has not told how many clients it has");
        acks.answer(Payload::args(&2).unwrap());
        acks.client_count(2);
        assert!(!acks.is_complete());
        acks.answer(Payload::args(&3).unwrap());
        assert!(acks.is_complete());
        acks.answer(Payload::args(&4).unwrap());
        let answers: Vec<u8> = acks.take_answers().iter().map(|a| a.to_args().first().unwrap()).collect();
        assert_eq!(answers, [1, 2, 3]);
    }

    #[test]
    fn every_namespace_has_servers_of_its_own() {
        assert!(AckCollector::new(0).is_complete());
        let mut acks = AckCollector::new(2);
        acks.client_count(0);
        acks.server_count(0);
        assert!(!acks.is_complete());
        acks.server_count(1);
        acks.client_count(0);
        assert!(!acks.is_complete());
        acks.client_count(0);
        assert!(acks.is_complete());
    }

    #[test]
    fn clients_that_are_gone_are_not_waited_for() {
        let mut acks = AckCollector::new(1);
        acks.server_count(0);
        acks.client_count(2);
        acks.gone(1);
        assert!(!acks.is_complete());
        acks.answer(Payload::default());
        assert!(acks.is_complete() && acks.has_gone());
    }
}
