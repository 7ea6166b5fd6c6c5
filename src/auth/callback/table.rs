//! Questions under way, who waits for them, and the answers that are remembered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use super::{Fingerprint, Question, Verdict};

/// Most questions under way or waiting, and most of their bytes.
const QUESTIONS_MAX: usize = 16_384;
const QUESTION_BYTES_MAX: usize = 32 << 20;
/// Most bytes of remembered answers, by the length of what was received.
const KNOWN_BYTES_MAX: usize = 64 << 20;
/// What a remembered answer is counted with beside its length.
const KNOWN_BYTES_EACH: usize = 512;

#[derive(Debug)]
struct Known {
    verdict: Verdict,
    until_ms: u64,
    bytes: usize,
    number: u64,
}

/// An answer in the order in which answers came; it may have been forgotten meanwhile.
#[derive(Debug)]
struct Aged {
    of: Fingerprint,
    until_ms: u64,
    number: u64,
}

#[derive(Debug)]
struct Flight<W> {
    question: Arc<Question>,
    waiters: HashSet<W>,
    since_ms: u64,
    asked: bool,
    number: u64,
}

/// What a worker learns when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The answer is remembered.
    Known(Verdict),
    /// It is a new question: somebody has to carry it to the service.
    Begun,
    /// The same question is under way already.
    Joined,
    /// Too many questions are under way.
    Full,
}

/// Questions and answers of one node. Times are monotonic milliseconds.
#[derive(Debug)]
pub struct Table<W> {
    known: HashMap<Fingerprint, Known>,
    order: VecDeque<Aged>,
    known_bytes: usize,
    /// Questions and answers ever taken.
    number: u64,
    flights: HashMap<Fingerprint, Flight<W>>,
    /// Questions nobody carries yet, with their numbers, and some that nobody wants any more.
    queue: VecDeque<(u64, Fingerprint)>,
    question_bytes: usize,
}

impl<W> Default for Table<W> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
            known_bytes: 0,
            number: 0,
            flights: HashMap::new(),
            queue: VecDeque::new(),
            question_bytes: 0,
        }
    }
}

impl<W: Copy + Eq + Hash> Table<W> {
    /// Looks for an answer, else notes `waiter` as one who waits for it. Equal credentials are one
    /// question, however many wait.
    pub fn ask(
        &mut self,
        of: Fingerprint,
        waiter: W,
        now_ms: u64,
        now_unix_s: u64,
        question: impl FnOnce() -> Question,
    ) -> Reply {
        if let Some(verdict) = self.recall(of, now_ms, now_unix_s) {
            return Reply::Known(verdict);
        }
        if let Some(flight) = self.flights.get_mut(&of) {
            flight.waiters.insert(waiter);
            return Reply::Joined;
        }
        let question = question();
        let bytes = self.question_bytes + question.size();
        if self.flights.len() >= QUESTIONS_MAX || bytes > QUESTION_BYTES_MAX {
            return Reply::Full;
        }
        self.question_bytes = bytes;
        let question = Arc::new(question);
        let waiters = HashSet::from([waiter]);
        self.number += 1;
        let number = self.number;
        let flight = Flight { question, waiters, since_ms: now_ms, asked: false, number };
        self.flights.insert(of, flight);
        self.queue.push_back((number, of));
        if self.queue.len() > 2 * self.flights.len() + 64 {
            let flights = &self.flights;
            self.queue.retain(|(number, of)| {
                flights.get(of).is_some_and(|flight| flight.number == *number)
            });
        }
        Reply::Begun
    }

    /// Nobody waits there any more. A question that nobody carries yet is forgotten with the last
    /// one who waits.
    pub fn leave(&mut self, of: Fingerprint, waiter: W) {
        let Some(flight) = self.flights.get_mut(&of) else { return };
        flight.waiters.remove(&waiter);
        if flight.waiters.is_empty() && !flight.asked {
            self.land(of);
        }
    }

    /// The next question to carry, and since when it waits.
    pub fn take_next(&mut self) -> Option<(Fingerprint, Arc<Question>, u64)> {
        while let Some((number, of)) = self.queue.pop_front() {
            let flight = self.flights.get_mut(&of);
            if let Some(flight) = flight.filter(|flight| flight.number == number) {
                flight.asked = true;
                return Some((of, Arc::clone(&flight.question), flight.since_ms));
            }
        }
        None
    }

    /// Takes an answer of `bytes` bytes: it is remembered as long as its callback says. Returns
    /// those who wait for it.
    pub fn finish(
        &mut self,
        of: Fingerprint,
        verdict: &Verdict,
        bytes: usize,
        now_ms: u64,
    ) -> Vec<W> {
        let Some(flight) = self.land(of) else { return Vec::new() };
        let callback = &flight.question.callback;
        let keep_ms = callback.keep_ms(verdict);
        if keep_ms > 0 && callback.bounds.cache_entries > 0 {
            self.number += 1;
            let (number, until_ms) = (self.number, now_ms.saturating_add(keep_ms));
            let bytes = bytes + KNOWN_BYTES_EACH;
            let known = Known { verdict: verdict.clone(), until_ms, bytes, number };
            self.forget(of);
            self.known.insert(of, known);
            self.known_bytes += bytes;
            self.order.push_back(Aged { of, until_ms, number });
            self.shrink(callback.bounds.cache_entries, now_ms);
        }
        flight.waiters.into_iter().collect()
    }

    /// Answers remembered.
    #[must_use]
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// Questions under way or waiting.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.flights.len()
    }

    fn recall(&mut self, of: Fingerprint, now_ms: u64, now_unix_s: u64) -> Option<Verdict> {
        let known = self.known.get(&of)?;
        let ended = match &known.verdict {
            Verdict::Accepted(identity) => identity.is_expired(now_unix_s),
            _ => false,
        };
        if ended || now_ms >= known.until_ms {
            self.forget(of);
            return None;
        }
        Some(known.verdict.clone())
    }

    fn forget(&mut self, of: Fingerprint) {
        if let Some(known) = self.known.remove(&of) {
            self.known_bytes -= known.bytes;
        }
    }

    fn land(&mut self, of: Fingerprint) -> Option<Flight<W>> {
        let flight = self.flights.remove(&of)?;
        self.question_bytes -= flight.question.size();
        Some(flight)
    }

    /// Forgets what is over, and the oldest answers until the bounds hold.
    fn shrink(&mut self, entries_max: usize, now_ms: u64) {
        while let Some(oldest) = self.order.front() {
            let over = oldest.until_ms <= now_ms
                || self.order.len() > entries_max
                || self.known_bytes > KNOWN_BYTES_MAX;
            if !over {
                return;
            }
            let Some(oldest) = self.order.pop_front() else { return };
            // Another answer to the same question may have taken its place.
            if self.known.get(&oldest.of).is_some_and(|known| known.number == oldest.number) {
                self.forget(oldest.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bounds, Callback, Credentials};
    use super::*;
    use crate::auth::callback::Refusal;
    use crate::auth::{Identity, Rules};

    struct Rig {
        callback: Arc<Callback>,
        table: Table<u32>,
    }

    impl Rig {
        fn new(cache_ms: u64, cache_entries: usize) -> Self {
            let bounds = Bounds { timeout_ms: 2_000, cache_ms, cache_entries, in_flight_max: 2 };
            let callback = Callback::new("http://x/".to_owned(), bounds, &Rules::default());
            Self { callback: Arc::new(callback.unwrap()), table: Table::default() }
        }

        fn of(&self, cookie: &str) -> Fingerprint {
            self.callback.fingerprint(&credentials(cookie), 0)
        }

        fn ask(&mut self, cookie: &str, waiter: u32, now_ms: u64) -> Reply {
            let question = || Question {
                callback: Arc::clone(&self.callback),
                credentials: credentials(cookie),
                client: [127, 0, 0, 1].into(),
                path: "/sse/a".into(),
            };
            let of = self.of(cookie);
            self.table.ask(of, waiter, now_ms, now_ms / 1_000, question)
        }

        fn finish(&mut self, cookie: &str, verdict: &Verdict, now_ms: u64) -> Vec<u32> {
            let mut waiters = self.table.finish(self.of(cookie), verdict, 100, now_ms);
            waiters.sort_unstable();
            waiters
        }
    }

    fn credentials(cookie: &str) -> Credentials {
        Credentials::new(None, Some(cookie.to_owned())).unwrap()
    }

    fn accepted(expires_unix_s: Option<u64>) -> Verdict {
        Verdict::Accepted(Arc::new(Identity { expires_unix_s, ..Identity::anonymous() }))
    }

    #[test]
    fn equal_credentials_are_one_question_and_its_answer_is_remembered() {
        let mut rig = Rig::new(1_000, 10);
        assert_eq!(rig.ask("a", 1, 0), Reply::Begun);
        assert_eq!(rig.ask("a", 2, 0), Reply::Joined);
        assert_eq!(rig.ask("b", 3, 0), Reply::Begun);
        assert_eq!(rig.table.take_next().unwrap().0, rig.of("a"));
        assert_eq!(rig.ask("a", 4, 0), Reply::Joined, "under way already");
        let yes = accepted(None);
        assert_eq!(rig.finish("a", &yes, 100), [1, 2, 4]);
        assert_eq!(rig.finish("a", &yes, 100), [0; 0], "an answer is taken once");
        assert_eq!(rig.ask("a", 5, 1_099), Reply::Known(yes));
        assert_eq!(rig.ask("a", 5, 1_100), Reply::Begun);
        assert_eq!(rig.table.known(), 0);
    }

    #[test]
    fn refusals_are_remembered_briefly_and_failures_not_at_all() {
        let mut rig = Rig::new(60_000, 10);
        let no = Verdict::Refused(Refusal::Unauthorized);
        rig.ask("a", 1, 0);
        rig.finish("a", &no, 0);
        assert_eq!(rig.ask("a", 1, 2_999), Reply::Known(no));
        assert_eq!(rig.ask("a", 1, 3_000), Reply::Begun);
        assert_eq!(rig.finish("a", &Verdict::Unknown, 3_000), [1]);
        assert_eq!(rig.ask("a", 1, 3_000), Reply::Begun);
    }

    #[test]
    fn an_answer_ends_with_its_session() {
        let mut rig = Rig::new(60_000, 10);
        rig.ask("a", 1, 0);
        rig.finish("a", &accepted(Some(5)), 0);
        assert!(matches!(rig.ask("a", 1, 4_999), Reply::Known(_)));
        assert_eq!(rig.ask("a", 1, 5_000), Reply::Begun);
    }

    #[test]
    fn those_who_leave_are_not_told_and_unasked_questions_go_with_them() {
        let mut rig = Rig::new(1_000, 10);
        rig.ask("a", 1, 0);
        rig.ask("a", 2, 0);
        rig.ask("b", 3, 0);
        rig.table.leave(rig.of("a"), 1);
        rig.table.leave(rig.of("b"), 3);
        assert_eq!(rig.table.questions(), 1);
        assert_eq!(rig.table.take_next().unwrap().0, rig.of("a"));
        assert!(rig.table.take_next().is_none());
        rig.table.leave(rig.of("a"), 2);
        assert_eq!(rig.table.questions(), 1, "it is under way: its answer will be known");
        assert_eq!(rig.finish("a", &accepted(None), 0), [0; 0]);
        assert!(matches!(rig.ask("a", 1, 10), Reply::Known(_)));
        assert_eq!((rig.table.questions(), rig.table.question_bytes), (0, 0));
    }

    #[test]
    fn all_that_is_kept_is_bounded() {
        let mut rig = Rig::new(1_000, 4);
        for number in 0..100u32 {
            let cookie = number.to_string();
            rig.ask(&cookie, number, 0);
            rig.finish(&cookie, &accepted(None), 0);
            assert!(rig.table.known() <= 4 && rig.table.order.len() <= 4);
        }
        assert!(matches!(rig.ask("99", 0, 0), Reply::Known(_)), "the newest stay");
        rig.ask("last", 0, 5_000);
        rig.finish("last", &accepted(None), 5_000);
        assert_eq!((rig.table.known(), rig.table.order.len()), (1, 1), "what is over goes");
        for number in 0..1_000u32 {
            rig.ask("comes and goes", number, 6_000);
            rig.table.leave(rig.of("comes and goes"), number);
            assert!(rig.table.queue.len() <= 70);
        }
        let mut full = 0;
        for number in 0..20_000u32 {
            full += u32::from(rig.ask(&format!("q{number}"), number, 6_000) == Reply::Full);
        }
        assert_eq!(full, 20_000 - 16_384);
        let mut none = Rig::new(0, 4);
        none.ask("a", 1, 0);
        none.finish("a", &accepted(None), 0);
        assert_eq!((none.table.known(), none.ask("a", 1, 0)), (0, Reply::Begun));
    }
}
