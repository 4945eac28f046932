//! What happens in a seed, decided before anything runs.
//!
//! A plan is a script for eight devices of four people in three conversations, and a list of kills. What the processes make
//! of it differs from run to run (they are real); what is asked of them does not.
//!
//! **Invariant:** the same seed gives the same plan, and every plan holds what a seed must hold ([`Promises`]).

use super::rng::Rng;
use crate::cluster::{Part, Topology};
use crate::device::deed::Act;
use std::ops::Range;

pub const PEOPLE: usize = 4;
pub const DEVICES: usize = 2 * PEOPLE;
const ANN: usize = 0;
const BOB: usize = 1;
const CAT: usize = 2;
const DAN: usize = 3;

/// Small bounds, so that little data goes beyond them: queues of a connection and pages of sync, in bytes.
pub const SETTINGS: [(&str, usize); 2] = [("comet.queue_bytes_max", 16 * 1024), ("logic.page_bytes", 8 * 1024)];
/// Connections cut while a message is said.
const RACERS: usize = 3;
const FLOOD_MESSAGES: usize = 16;
const FLOOD_BYTES: usize = 5_000;
const ABSENCE_BYTES: usize = 2_500;
/// By then an acked message has come to everybody, on engines too.
const ON_ITS_WAY_MS: u64 = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Ann and Bob.
    Direct,
    /// Ann's; Dan is invited, Cat is removed.
    Group,
    /// Ann's; Dan joins, Bob leaves and comes back, Cat may be removed.
    Room,
}

impl Place {
    pub const ALL: [Place; 3] = [Place::Direct, Place::Group, Place::Room];
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Do {
        device: usize,
        place: Place,
        act: Act,
    },
    /// Cut the connection; the device comes back at once.
    Cut(usize),
    Offline(usize),
    Online(usize),
    Pause(usize),
    Resume(usize),
    /// Wait until everything that was asked for has an outcome.
    Settle,
    /// Settle, then wait until every online device is complete without a further message.
    Quiet,
    /// From here on the acks count towards this kill.
    Arm(usize),
    /// Wait until this kill has happened; if it takes long, with more messages.
    AwaitKill(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Just before the process's n-th sync of a data file: in the middle of a commit.
    AtFsync(u64),
    /// As soon as so many acks were heard after the arming. Syncs take `fsync_delay_us` longer, so that an ack that did not
    /// wait for its sync is caught by the cut.
    AtAck { acks: u64, fsync_delay_us: u64 },
    /// So long after the first ack after the arming: while the message is on its way through relay, log and job.
    AfterAck { ms: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    pub part: Part,
    pub moment: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub topology: Topology,
    /// Every kill of the core takes the power away, and the seed ends in one.
    pub cuts_power: bool,
    /// The device that reads slowly.
    pub slow: usize,
    pub kills: Vec<Kill>,
    pub steps: Vec<Step>,
}

/// What a seed has to contain; a run that has less has failed, whatever it proves.
pub struct Promises;

impl Promises {
    pub const ACKED_SENDS: u64 = 150;
    pub const KILLS: u64 = 2;
    pub const KILLS_IN_A_COMMIT: u64 = 1;
    pub const RECONNECTS: u64 = 5;
    pub const RETRIES_OF_ACKED: u64 = 3;
    pub const EDITS: u64 = 3;
    pub const RECALLS: u64 = 2;
    pub const REACTIONS: u64 = 3;
    pub const READS: u64 = 8;
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        Writer::new(seed).write()
    }
}

/// Those with comet apart first: they mostly wait, for leases to be renewed, and begun last would be waited for alone.
pub fn longest_first(seeds: Range<u64>) -> Vec<u64> {
    let (mut apart, together): (Vec<u64>, Vec<u64>) = seeds.partition(|seed| topology_of(*seed) == Topology::Split);
    apart.extend(together);
    apart
}

fn topology_of(seed: u64) -> Topology {
    if matches!(seed % 16, 2 | 5 | 10) { Topology::Split } else { Topology::AllInOne }
}

/// The two devices of a person.
pub fn devices_of(person: usize) -> [usize; 2] {
    [2 * person, 2 * person + 1]
}

pub fn person_of(device: usize) -> usize {
    device / 2
}

struct Writer {
    rng: Rng,
    seed: u64,
    steps: Vec<Step>,
    /// Who may speak where, at this point of the script.
    speakers: [Vec<usize>; 3],
    /// Numbers the texts, so that no two messages are alike.
    said: u32,
}

impl Writer {
    fn new(seed: u64) -> Self {
        // Neighbouring seeds start far apart.
        let rng = Rng::new(seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1));
        let speakers = [vec![ANN, BOB], vec![ANN, BOB, CAT], vec![ANN, BOB, CAT]];
        Self { rng, seed, steps: Vec::new(), speakers, said: 0 }
    }

    fn write(mut self) -> Plan {
        let topology = topology_of(self.seed);
        let cuts_power = self.seed % 2 == 1;
        let slow = *self.rng.pick(&[1, 2, 3]);
        let kills = self.kills(topology);

        self.steps.push(Step::Arm(0));
        // A message alone in its commit is what nothing later can make good.
        let is_sparse = topology == Topology::Split || self.rng.one_in(4);
        if is_sparse {
            self.single_messages(20, topology)
        } else {
            self.traffic(30)
        }
        self.steps.extend([Step::AwaitKill(0), Step::Quiet]);
        if topology == Topology::Split {
            self.last_words(1);
        }
        self.newcomers();
        self.corrections();
        self.flood(slow);
        self.long_absence();
        self.races(8);
        let last = kills.len() - 1;
        self.steps.push(Step::Arm(last - 1));
        self.traffic(32);
        self.steps.extend([Step::AwaitKill(last - 1), Step::Quiet]);
        self.coming_and_going();
        self.removal();
        self.steps.push(Step::Arm(last));
        self.traffic(32);
        self.steps.extend([Step::AwaitKill(last), Step::Quiet]);
        Plan { seed: self.seed, topology, cuts_power, slow, kills, steps: self.steps }
    }

    /// The first is in the middle of a commit, the next to last in the middle of traffic, the last ends the seed. Where comet
    /// lives on, one more leaves a message behind that was acked and is not delivered.
    fn kills(&mut self, topology: Topology) -> Vec<Kill> {
        let at_ack = |rng: &mut Rng, part| {
            let moment = Moment::AtAck { acks: rng.between(5, 25), fsync_delay_us: rng.between(1, 4) * 1_000 };
            Kill { part, moment }
        };
        let first = Kill { part: Part::Core, moment: Moment::AtFsync(self.rng.between(8, 30)) };
        let second_part = if topology == Topology::Split { Part::Comet } else { Part::Core };
        let second = at_ack(&mut self.rng, second_part);
        let third = at_ack(&mut self.rng, Part::Core);
        match topology {
            Topology::AllInOne => vec![first, second, third],
            Topology::Split => {
                let moment = Moment::AfterAck { ms: self.rng.between(0, ON_ITS_WAY_MS) };
                vec![first, Kill { part: Part::Core, moment }, second, third]
            }
        }
    }

    // === phases ===

    /// Everybody talks at once, connections break, retries happen.
    fn traffic(&mut self, sends: u32) {
        for n in 0..sends {
            let place = *self.rng.pick(&Place::ALL);
            let device = self.speaker(place);
            self.say(device, place, 0);
            if n % 3 == 2 {
                self.change_something();
            }
            if n % 4 == 1 {
                self.read_something();
            }
            if n % 9 == 4 {
                let device = self.rng.below(DEVICES as u64) as usize;
                self.steps.push(Step::Cut(device));
            }
            if n % 12 == 7 {
                self.try_keys();
            }
        }
    }

    fn single_messages(&mut self, rounds: u32, topology: Topology) {
        // As in `last_words`.
        let places: &[Place] = if topology == Topology::Split { &[Place::Room, Place::Room, Place::Group] } else { &Place::ALL };
        for _ in 0..rounds {
            let place = *self.rng.pick(places);
            let device = self.speaker(place);
            self.say(device, place, 0);
            if self.rng.one_in(3) {
                self.change_something();
            }
            self.steps.push(Step::Quiet);
        }
        self.try_keys();
    }

    /// A message with nothing said after it, whose core is killed before, while or after it is delivered. Of what a killed core
    /// leaves behind, rooms alone hear without connecting anew: see docs/checker.md.
    fn last_words(&mut self, kill: usize) {
        let device = self.speaker(Place::Room);
        self.steps.push(Step::Arm(kill));
        self.say(device, Place::Room, 0);
        self.steps.extend([Step::AwaitKill(kill), Step::Quiet]);
    }

    fn newcomers(&mut self) {
        let [dan, _] = devices_of(DAN);
        let act = Act::Invite { uid: DAN as i64 };
        self.steps.push(Step::Do { device: devices_of(ANN)[0], place: Place::Group, act });
        self.steps.push(Step::Do { device: dan, place: Place::Room, act: Act::JoinRoom });
        self.steps.push(Step::Do { device: dan, place: Place::Room, act: Act::MarkRead });
        self.chatter(&[Place::Group, Place::Room], 6);
        self.steps.push(Step::Quiet);
        self.speakers[Place::Group as usize].push(DAN);
        self.speakers[Place::Room as usize].push(DAN);
    }

    /// One device says something and thinks better of it: so that no seed is without.
    fn corrections(&mut self) {
        for _ in 0..5 {
            let place = *self.rng.pick(&Place::ALL);
            let device = self.speaker(place);
            let pick = |rng: &mut Rng| rng.below(1_000) as u32;
            self.say(device, place, 0);
            let (edit, react, recall) = (pick(&mut self.rng), pick(&mut self.rng), pick(&mut self.rng));
            let acts = [
                Act::Edit { pick: edit, text: self.words(0) },
                Act::React { pick: react, emoji: "🌱".to_owned(), on: true },
                Act::Recall { pick: recall },
            ];
            self.steps.extend(acts.map(|act| Step::Do { device, place, act }));
            self.steps.push(Step::Settle);
        }
    }

    /// More than the server keeps for a connection, towards one who does not read.
    fn flood(&mut self, slow: usize) {
        let place = if person_of(slow) <= BOB { *self.rng.pick(&Place::ALL) } else { *self.rng.pick(&[Place::Group, Place::Room]) };
        self.steps.push(Step::Pause(slow));
        let loud = self.speaker_but(place, person_of(slow));
        for _ in 0..FLOOD_MESSAGES {
            self.say(loud, place, FLOOD_BYTES);
        }
        self.steps.extend([Step::Settle, Step::Resume(slow), Step::Quiet]);
    }

    /// More than a page of sync, in more than one conversation.
    fn long_absence(&mut self) {
        let away = *self.rng.pick(&devices_of(BOB));
        self.steps.push(Step::Offline(away));
        for place in Place::ALL {
            let device = self.speaker_but(place, BOB);
            for _ in 0..3 {
                self.say(device, place, ABSENCE_BYTES);
            }
        }
        self.steps.extend([Step::Settle, Step::Online(away), Step::Quiet]);
    }

    /// Messages while somebody is just coming back; the last one has nothing behind it that would show its loss.
    fn races(&mut self, rounds: u32) {
        for _ in 0..rounds {
            let place = *self.rng.pick(&[Place::Direct, Place::Group, Place::Group]);
            let speaker = self.speaker(place);
            let others: Vec<usize> = (0..DEVICES).filter(|device| *device != speaker && self.is_in(place, *device)).collect();
            for _ in 0..RACERS {
                let device = *self.rng.pick(&others);
                self.steps.push(Step::Cut(device));
            }
            for _ in 0..self.rng.between(1, 5) {
                self.say(speaker, place, 0);
                self.read_something();
            }
            self.steps.push(Step::Quiet);
        }
    }

    fn coming_and_going(&mut self) {
        let [_, bob] = devices_of(BOB);
        let act = |act| Step::Do { device: bob, place: Place::Room, act };
        self.steps.extend([act(Act::Leave), Step::Settle]);
        self.speakers[Place::Room as usize].retain(|person| *person != BOB);
        self.chatter(&[Place::Room], 4);
        self.steps.extend([Step::Settle, act(Act::JoinRoom), act(Act::MarkRead)]);
        self.chatter(&[Place::Room], 2);
        self.steps.push(Step::Quiet);
        self.speakers[Place::Room as usize].push(BOB);
    }

    /// Cat talks on while being removed, and one of her devices may be away.
    fn removal(&mut self) {
        let ann = devices_of(ANN)[1];
        let [cat, other] = devices_of(CAT);
        let is_away = self.rng.one_in(2);
        let places: &[Place] = if self.rng.one_in(2) { &[Place::Group, Place::Room] } else { &[Place::Group] };
        if is_away {
            self.steps.push(Step::Offline(other));
        }
        for place in places {
            self.say(cat, *place, 0);
            self.steps.push(Step::Do { device: ann, place: *place, act: Act::Remove { uid: CAT as i64 } });
            self.say(cat, *place, 0);
            self.speakers[*place as usize].retain(|person| *person != CAT);
        }
        self.steps.push(Step::Settle);
        self.chatter(places, 8);
        self.steps.push(Step::Cut(cat));
        self.chatter(places, 2);
        if is_away {
            self.steps.push(Step::Online(other));
        }
        self.steps.push(Step::Quiet);
    }

    fn chatter(&mut self, places: &[Place], sends: u32) {
        for n in 0..sends {
            let place = places[n as usize % places.len()];
            let device = self.speaker(place);
            self.say(device, place, 0);
        }
    }

    // === single steps ===

    fn say(&mut self, device: usize, place: Place, padding: usize) {
        let text = self.words(padding);
        self.steps.push(Step::Do { device, place, act: Act::Send { text } });
    }

    fn change_something(&mut self) {
        let place = *self.rng.pick(&Place::ALL);
        let (device, pick) = (self.speaker(place), self.rng.below(1_000) as u32);
        let act = match self.rng.below(6) {
            0 | 1 => Act::Edit { pick, text: self.words(0) },
            2 => Act::Recall { pick },
            3 => Act::React { pick, emoji: "👍".to_owned(), on: !self.rng.one_in(3) },
            _ => Act::React { pick, emoji: "🎉".to_owned(), on: true },
        };
        self.steps.push(Step::Do { device, place, act });
    }

    fn read_something(&mut self) {
        let place = *self.rng.pick(&Place::ALL);
        let device = self.speaker(place);
        self.steps.push(Step::Do { device, place, act: Act::MarkRead });
    }

    /// What keys and `after` are for.
    fn try_keys(&mut self) {
        for kind in 0..4 {
            let place = *self.rng.pick(&Place::ALL);
            let device = self.speaker(place);
            let text = self.words(0);
            let act = match kind {
                0 => Act::SendAgain,
                1 => Act::SendConflict { text },
                2 => Act::SendOutOfOrder { text },
                _ => Act::SendAndForget { text },
            };
            self.say(device, place, 0);
            self.steps.push(Step::Do { device, place, act });
        }
    }

    fn words(&mut self, padding: usize) -> String {
        self.said += 1;
        format!("{}.{}{}", self.seed, self.said, " ~".repeat(padding / 2))
    }

    fn is_in(&self, place: Place, device: usize) -> bool {
        self.speakers[place as usize].contains(&person_of(device))
    }

    fn speaker(&mut self, place: Place) -> usize {
        let person = *self.rng.pick(&self.speakers[place as usize]);
        *self.rng.pick(&devices_of(person))
    }

    fn speaker_but(&mut self, place: Place, silent: usize) -> usize {
        let others: Vec<usize> = self.speakers[place as usize].iter().copied().filter(|person| *person != silent).collect();
        let person = *self.rng.pick(&others);
        *self.rng.pick(&devices_of(person))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(plan: &Plan, is: impl Fn(&Step) -> bool) -> u64 {
        plan.steps.iter().filter(|step| is(step)).count() as u64
    }

    fn acts(plan: &Plan, is: impl Fn(&Act) -> bool) -> u64 {
        count(plan, |step| matches!(step, Step::Do { act, .. } if is(act)))
    }

    #[test]
    fn a_seed_always_means_the_same() {
        assert_eq!(Plan::of(17), Plan::of(17));
        assert_ne!(Plan::of(17).steps, Plan::of(18).steps);
    }

    #[test]
    fn every_plan_holds_what_a_seed_must_hold() {
        for seed in 0..500 {
            let plan = Plan::of(seed);
            let at_least = |what: &str, has: u64, needs: u64| assert!(has >= needs, "seed {seed}: {has} {what}, needs {needs}");
            // Twice Cat speaks while being removed, and may be refused each time.
            at_least("sends", acts(&plan, |act| matches!(act, Act::Send { .. })) - 4, Promises::ACKED_SENDS);
            at_least("kills", plan.kills.len() as u64, Promises::KILLS);
            let in_commit = plan.kills.iter().filter(|kill| matches!(kill.moment, Moment::AtFsync(_))).count();
            at_least("kills in a commit", in_commit as u64, Promises::KILLS_IN_A_COMMIT);
            at_least("reconnects", count(&plan, |step| matches!(step, Step::Cut(_) | Step::Online(_))), Promises::RECONNECTS);
            at_least("retries of acked keys", acts(&plan, |act| matches!(act, Act::SendAgain)), Promises::RETRIES_OF_ACKED);
            // Some find nothing to do it to, or find it recalled; so the script has more of them.
            at_least("edits", acts(&plan, |act| matches!(act, Act::Edit { .. })), Promises::EDITS + 2);
            at_least("recalls", acts(&plan, |act| matches!(act, Act::Recall { .. })), Promises::RECALLS);
            at_least("reactions", acts(&plan, |act| matches!(act, Act::React { .. })), Promises::REACTIONS + 3);
            at_least("reads", acts(&plan, |act| matches!(act, Act::MarkRead)), Promises::READS);
            assert!(count(&plan, |step| matches!(step, Step::Pause(_))) == count(&plan, |step| matches!(step, Step::Resume(_))));
            assert!(count(&plan, |step| matches!(step, Step::Offline(_))) == count(&plan, |step| matches!(step, Step::Online(_))));
        }
    }

    #[test]
    fn half_of_the_plans_end_in_a_power_cut_and_some_are_split() {
        let plans: Vec<Plan> = (0..200).map(Plan::of).collect();
        assert_eq!(plans.iter().filter(|plan| plan.cuts_power).count(), 100);
        for cuts_power in [false, true] {
            let split = plans.iter().filter(|plan| plan.topology == Topology::Split && plan.cuts_power == cuts_power);
            assert!(split.count() >= 12);
        }
        assert!(plans.iter().all(|plan| plan.kills.last().is_some_and(|kill| kill.part == Part::Core)));
    }

    #[test]
    fn every_split_plan_kills_the_core_behind_a_last_word() {
        for plan in (0..200).map(Plan::of).filter(|plan| plan.topology == Topology::Split) {
            let kill = plan.kills.iter().position(|kill| matches!(kill.moment, Moment::AfterAck { .. })).expect("one");
            assert_eq!(plan.kills[kill].part, Part::Core);
            let at = plan.steps.iter().position(|step| *step == Step::Arm(kill)).expect("it is armed");
            let around = &plan.steps[at - 1..at + 4];
            let is_alone = |step: &Step| matches!(step, Step::Do { place: Place::Room, act: Act::Send { .. }, .. });
            assert!(around[0] == Step::Quiet && is_alone(&around[2]), "{around:?}");
            assert_eq!(around[3..], [Step::AwaitKill(kill), Step::Quiet]);
        }
    }
}
