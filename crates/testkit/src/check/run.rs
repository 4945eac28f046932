//! One seed: the script played on real processes, and the verdict.
//!
//! **Invariant:** everything that is waited for has a bound: a wait ends when nothing has moved for [`STANDSTILL`], or after
//! [`TOO_LONG`]. What has not come by then is missing.

use super::judge::{self, Doings, Facts, Lack};
use super::mariadb::Mariadb;
use super::plan::{DEVICES, PEOPLE, Place, Plan, Promises, SETTINGS, Step, devices_of, person_of};
use super::supervise::{Controls, Kills, Running, supervise};
use super::town::Town;
use super::truth::{self, Truth, Witness};
use crate::cluster::Topology;
use crate::cluster::{Cluster, Setup};
use crate::database::{Engine, shared_servers};
use crate::device::deed::{Act, Deed, Outcome};
use crate::device::{Board, Description, Device, Order};
use crate::seed;
use crate::wire::{Buffers, Endpoints, Transport};
use anyhow::{Context, Result, anyhow};
use skein_powercut::PowerCut;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const STANDSTILL: Duration = Duration::from_secs(4);
/// While MariaDB recovers and starts again, or Kafka gives partitions anew, nothing moves either.
const STANDSTILL_OF_SERVERS: Duration = Duration::from_secs(20);
/// A comet that is apart learns by its next renewal that the core has forgotten its connections, and lets them go.
const RENEW_EVERY: Duration = Duration::from_secs(7);
const TOO_LONG: Duration = Duration::from_secs(60);
/// Messages sent so that a kill comes; beyond that the process is killed without it, and the promise is broken.
const FILLERS_MAX: u32 = 80;

/// What all seeds of a run share.
#[derive(Debug, Clone)]
pub struct Arena {
    /// Folders of seeds are made below it.
    pub folder: PathBuf,
    pub template: PathBuf,
    pub engine: Engine,
    pub town: Town,
    pub settings: Vec<(String, String)>,
    pub environment: Vec<(String, OsString)>,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Numbers {
    pub sends: u64,
    pub edits: u64,
    pub recalls: u64,
    pub reactions: u64,
    pub reads: u64,
    pub retries_of_acked: u64,
    pub retries: u64,
    pub reconnects: u64,
    pub resyncs: u64,
    pub pulls: u64,
    pub kills: Kills,
}

#[derive(Debug)]
pub enum Failure {
    /// What Skein promises does not hold.
    Offence(Vec<String>),
    /// Less happened than a seed must hold.
    Promise(Vec<String>),
    /// The run itself broke.
    Broken(String),
}

pub struct Report {
    pub seed: u64,
    pub took: Duration,
    pub numbers: Numbers,
    pub failure: Option<Failure>,
    /// For a failed seed: what each device heard and asked, and the ends of the servers' logs.
    pub evidence: Vec<(String, String)>,
}

pub async fn run(arena: &Arena, seed: u64) -> Report {
    let started = Instant::now();
    let folder = arena.folder.join(format!("seed-{seed}"));
    let plan = Plan::of(seed);
    let mut report = match Run::begin(arena, &plan, &folder).await {
        Ok(run) => run.finish(&folder).await,
        Err(error) => Report::broken(seed, &error),
    };
    report.took = started.elapsed();
    report
}

impl Report {
    fn broken(seed: u64, error: &anyhow::Error) -> Self {
        let failure = Some(Failure::Broken(format!("{error:#}")));
        Self { seed, took: Duration::ZERO, numbers: Numbers::default(), failure, evidence: Vec::new() }
    }
}

struct Run<'a> {
    arena: &'a Arena,
    plan: &'a Plan,
    board: Board,
    address: watch::Receiver<Option<Endpoints>>,
    controls: Controls,
    /// Until it has ended by itself and was asked why.
    supervisor: Option<JoinHandle<anyhow::Error>>,
    devices: Vec<Device>,
    /// Not asked to be complete: paused or away.
    absent: [bool; DEVICES],
    truth: Truth,
    witness: Witness,
    keys: u32,
}

/// Why the script ends early.
enum Stop {
    Offences(Vec<String>),
    Broken(anyhow::Error),
}

/// What is still waited for, and how long it may take to come.
struct Lacking {
    what: String,
    patience: Duration,
}

/// What the script waits for.
#[derive(Debug, Clone, Copy)]
enum Goal {
    /// Every deed has an outcome.
    Settled,
    /// Every device that is present has all it must have.
    Complete,
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Stop::Broken(error)
    }
}

impl<'a> Run<'a> {
    async fn begin(arena: &'a Arena, plan: &'a Plan, folder: &Path) -> Result<Self> {
        let _ = std::fs::remove_dir_all(folder);
        seed::copy(&arena.template, &folder.join("data"))?;
        let power = PowerCut::new(&folder.join("data"), &folder.join("journal"))?;
        let (mariadb, mut settings) = tokio::task::block_in_place(|| engines(arena, folder))?;
        settings.extend(arena.settings.clone());
        settings.extend(SETTINGS.map(|(key, value)| (key.to_owned(), value.to_string())));
        settings.push(("comet.renew_interval_ms".to_owned(), RENEW_EVERY.as_millis().to_string()));
        let setup = Setup { settings, environment: arena.environment.clone(), power: Some(power), has_links: false };
        let cluster = Cluster::new(plan.topology, folder, setup)?;
        let board = Board::default();
        let address = cluster.address();
        let controls = Controls::default();
        let running = Running { cluster, mariadb };
        let supervisor = Some(tokio::spawn(supervise(running, plan.clone(), controls.clone(), board.acks.subscribe())));
        let devices = (0..DEVICES).map(|device| Device::start(describe(arena, plan, device), address.clone(), board.clone())).collect();
        let witness = Witness::new(&arena.town.witnesses[0]);
        let (absent, truth) = ([false; DEVICES], Truth::default());
        Ok(Self { arena, plan, board, address, controls, supervisor, devices, absent, truth, witness, keys: 0 })
    }

    async fn finish(mut self, folder: &Path) -> Report {
        let verdict = self.play().await;
        let numbers = self.numbers();
        let failure = match verdict {
            Ok(()) => self.broken_promises(&numbers),
            Err(Stop::Offences(offences)) => Some(Failure::Offence(offences)),
            Err(Stop::Broken(error)) => Some(Failure::Broken(format!("{error:#}"))),
        };
        let evidence = if failure.is_some() { self.evidence(folder) } else { Vec::new() };
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.abort();
            // Its end takes the processes along.
            let _ = supervisor.await;
        }
        Report { seed: self.plan.seed, took: Duration::ZERO, numbers, failure, evidence }
    }

    async fn play(&mut self) -> Result<(), Stop> {
        for step in &self.plan.steps {
            self.step(step).await?;
        }
        self.last_look().await
    }

    async fn step(&mut self, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Do { device, place, act } => self.act(*device, *place, act.clone()).await,
            Step::Cut(device) => self.devices[*device].order(Order::Cut).await,
            Step::Offline(device) => self.absent(*device, Order::GoOffline).await,
            Step::Online(device) => self.present(*device, Order::GoOnline).await,
            Step::Pause(device) => self.absent(*device, Order::PauseReading).await,
            Step::Resume(device) => self.present(*device, Order::ResumeReading).await,
            Step::Settle => self.settle().await?,
            Step::Quiet => self.quiet().await?,
            Step::Arm(kill) => self.controls.arm(*kill, *self.board.acks.borrow()),
            Step::AwaitKill(kill) => self.await_kill(*kill).await?,
        }
        Ok(())
    }

    async fn act(&mut self, device: usize, place: Place, act: Act) {
        let act = match act {
            Act::Invite { uid: person } => Act::Invite { uid: self.arena.town.uids[person as usize] },
            Act::Remove { uid: person } => Act::Remove { uid: self.arena.town.uids[person as usize] },
            other => other,
        };
        self.keys += 1;
        let key = format!("{}-{device}-{}", self.plan.seed, self.keys);
        let deed = Deed::new(self.arena.town.id(place), key, act);
        self.devices[device].order(Order::Do(Box::new(deed))).await;
    }

    async fn absent(&mut self, device: usize, order: Order) {
        self.absent[device] = true;
        self.devices[device].order(order).await;
    }

    async fn present(&mut self, device: usize, order: Order) {
        self.absent[device] = false;
        self.devices[device].order(order).await;
    }

    // === waiting ===

    /// Until nothing is lacking, as long as something moves.
    async fn until(&mut self, goal: Goal) -> Result<(), Stop> {
        const LOOK_EVERY: Duration = Duration::from_millis(150);
        const SWARM: Duration = Duration::from_millis(3);
        let started = Instant::now();
        let mut progress = self.board.progress.subscribe();
        let (mut moved_at, mut moved) = (started, *progress.borrow());
        loop {
            let lacks = match goal {
                Goal::Settled => self.unsettled(),
                Goal::Complete => self.incomplete().await?,
            };
            if lacks.is_empty() {
                return Ok(());
            }
            self.servers_run().await?;
            let now = *progress.borrow_and_update();
            // Of a node that was away, users are told to sync within half a minute.
            let is_put_off = self.devices.iter().any(|device| device.mind().is_put_off(Instant::now()));
            if now != moved || is_put_off {
                (moved_at, moved) = (Instant::now(), now);
            }
            let is_overdue = lacks.iter().any(|lack| moved_at.elapsed() > lack.patience);
            if is_overdue || started.elapsed() > TOO_LONG {
                let lacks = lacks.into_iter().map(|lack| format!("not {goal:?} although nothing moves: {}", lack.what));
                return Err(Stop::Offences(lacks.collect()));
            }
            // News come in swarms: one look for all that come within a moment. What brings no news may still be another process.
            let _ = tokio::time::timeout(LOOK_EVERY, progress.changed()).await;
            tokio::time::sleep(SWARM).await;
        }
    }

    /// Entries of rooms reach whomever comet knows. Everything else goes by the core's memory of connections, which is lost
    /// with a core that is apart: it comes again after the next renewal.
    fn patience(&self, place: Place, device: usize, lack: &Lack) -> Duration {
        // Dan joins the room after the kill: that, too, is told to the connections that the core knows.
        let was_in_room = person_of(device) != PEOPLE - 1;
        let survives = was_in_room && matches!((place, lack), (Place::Room, Lack::Entries(_)));
        if survives || self.plan.topology == Topology::AllInOne { self.standstill() } else { self.standstill() + RENEW_EVERY }
    }

    fn standstill(&self) -> Duration {
        if self.arena.engine == Engine::Sqlite { STANDSTILL } else { STANDSTILL_OF_SERVERS }
    }

    /// A server that ended unasked ends the seed.
    async fn servers_run(&mut self) -> Result<(), Stop> {
        match self.supervisor.take_if(|supervisor| supervisor.is_finished()) {
            Some(ended) => Err(Stop::Broken(ended.await.unwrap_or_else(|panic| anyhow!("{panic}")))),
            None => Ok(()),
        }
    }

    async fn settle(&mut self) -> Result<(), Stop> {
        self.until(Goal::Settled).await
    }

    fn unsettled(&self) -> Vec<Lacking> {
        let present = self.devices.iter().zip(self.absent).enumerate().filter(|(_, (_, absent))| !absent);
        let lacking = |(device, (handle, _)): (usize, (&Device, bool))| {
            let what = format!("{} {}", Town::label(device), handle.mind().unsettled()?);
            Some(Lacking { what, patience: self.standstill() + RENEW_EVERY })
        };
        present.filter_map(lacking).collect()
    }

    async fn quiet(&mut self) -> Result<(), Stop> {
        self.settle().await?;
        self.until(Goal::Complete).await
    }

    async fn incomplete(&mut self) -> Result<Vec<Lacking>, Stop> {
        let unsettled = self.unsettled();
        if !unsettled.is_empty() {
            return Ok(unsettled);
        }
        if let Err(error) = self.read_on().await {
            return Ok(vec![Lacking { what: format!("the truth cannot be read: {error:#}"), patience: TOO_LONG }]);
        }
        let mut offences = self.truth.offences();
        for (device, handle) in self.devices.iter().enumerate() {
            let label = Town::label(device);
            offences.extend(handle.mind().offences.iter().map(|offence| format!("{label} {offence}")));
        }
        if !offences.is_empty() {
            return Err(Stop::Offences(offences));
        }
        Ok(self.lacking())
    }

    async fn read_on(&mut self) -> Result<()> {
        let at = (*self.address.borrow()).context("nothing listens")?;
        self.witness.read_on(at, &self.arena.town, &mut self.truth).await
    }

    /// Numbers first, screens when they are right: a look is taken often.
    fn lacking(&self) -> Vec<Lacking> {
        let facts = self.facts();
        let (mut lacking, mut wrong) = (Vec::new(), Vec::new());
        for (device, place) in
            (0..DEVICES).filter(|device| !self.absent[*device]).flat_map(|device| Place::ALL.map(|place| (device, place)))
        {
            let (town, id) = (&self.arena.town, self.arena.town.id(place));
            let expected = judge::expected(&self.truth, town, place, person_of(device), &facts);
            let mind = self.devices[device].mind();
            let timeline = mind.timelines.get(&id);
            let told = |text: &str| format!("{} {place:?} {text}", Town::label(device));
            if let Some(lack) = judge::lacks(timeline, expected.as_ref()) {
                let patience = self.patience(place, device, &lack);
                let (Lack::Entries(text) | Lack::Other(text)) = lack;
                lacking.push(Lacking { what: told(&text), patience });
            } else if let (Some(timeline), Some(expected), true) = (timeline, expected, lacking.is_empty()) {
                let text = judge::wrong_on_screen(timeline, self.truth.log(id), expected.visible);
                wrong.extend(text.map(|text| Lacking { what: told(&text), patience: self.standstill() }));
            }
        }
        if lacking.is_empty() { wrong } else { lacking }
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        for (device, handle) in self.devices.iter().enumerate() {
            facts.note(device, &handle.mind().done);
        }
        facts
    }

    fn deeds(&self) -> Vec<Vec<Deed>> {
        self.devices.iter().map(|device| device.mind().done.clone()).collect()
    }

    async fn await_kill(&mut self, kill: usize) -> Result<(), Stop> {
        const FILL_EVERY: Duration = Duration::from_millis(100);
        let mut happened = self.controls.kills.subscribe();
        for filler in 0.. {
            let is_over = tokio::time::timeout(FILL_EVERY, happened.wait_for(|kills| kills.all > kill as u64)).await.is_ok();
            if is_over {
                break;
            }
            self.servers_run().await?;
            if filler == FILLERS_MAX {
                self.controls.force.notify_one();
            }
            if filler > 4 * FILLERS_MAX {
                return Err(Stop::Broken(anyhow!("kill {kill} does not happen")));
            }
            if filler < FILLERS_MAX {
                self.act(devices_of(0)[0], Place::Direct, Act::Send { text: format!("filler {kill}.{filler}") }).await;
            }
        }
        Ok(())
    }

    // === the end ===

    /// Everything read anew, by everybody.
    async fn last_look(&mut self) -> Result<(), Stop> {
        let at = (*self.address.borrow()).context("nothing listens at the end")?;
        let town = &self.arena.town;
        let mut fresh = Truth::default();
        Witness::new(&town.witnesses[0]).read_on(at, town, &mut fresh).await?;
        let mut offences = self.truth.contradictions(&fresh);
        offences.extend(fresh.offences());
        let deeds = self.deeds();
        let doings: Vec<Doings<'_>> = deeds.iter().enumerate().map(|(device, deeds)| Doings { device, deeds }).collect();
        offences.extend(judge::deeds_against_log(&fresh, town, &doings));
        let facts = self.facts();
        for person in 0..PEOPLE {
            let mut witness = Witness::new(&town.witnesses[person]);
            for place in Place::ALL {
                let found = look(&mut witness, at, town, &fresh, place, person, &facts).await?;
                offences.extend(found.into_iter().map(|offence| format!("{} {place:?} {offence}", Town::name(person))));
            }
        }
        if offences.is_empty() { Ok(()) } else { Err(Stop::Offences(offences)) }
    }

    fn numbers(&self) -> Numbers {
        let mut numbers = Numbers { kills: *self.controls.kills.borrow(), ..Numbers::default() };
        for device in &self.devices {
            let mind = device.mind();
            numbers.reconnects += mind.tally.connections.saturating_sub(1);
            numbers.resyncs += mind.tally.resyncs;
            numbers.retries += mind.tally.retries;
            numbers.pulls += mind.tally.pulls;
            for deed in &mind.done {
                let counter = match (&deed.act, &deed.outcome) {
                    (Act::Send { .. }, Outcome::Acked(_)) => &mut numbers.sends,
                    (Act::Edit { .. }, Outcome::Acked(_)) => &mut numbers.edits,
                    (Act::Recall { .. }, Outcome::Acked(_)) => &mut numbers.recalls,
                    (Act::React { .. }, Outcome::Acked(_)) => &mut numbers.reactions,
                    (Act::SendAgain, Outcome::Acked(_)) => &mut numbers.retries_of_acked,
                    (Act::MarkRead, Outcome::Done) => &mut numbers.reads,
                    _ => continue,
                };
                *counter += 1;
            }
        }
        numbers
    }

    fn broken_promises(&self, numbers: &Numbers) -> Option<Failure> {
        let promises = [
            ("acked sends", numbers.sends, Promises::ACKED_SENDS),
            ("kills", numbers.kills.all, Promises::KILLS),
            ("kills in a commit", numbers.kills.in_a_commit, Promises::KILLS_IN_A_COMMIT),
            ("power cuts", numbers.kills.power_cuts, u64::from(self.plan.cuts_power)),
            ("reconnects", numbers.reconnects, Promises::RECONNECTS),
            ("retries of acked keys", numbers.retries_of_acked, Promises::RETRIES_OF_ACKED),
            ("edits", numbers.edits, Promises::EDITS),
            ("recalls", numbers.recalls, Promises::RECALLS),
            ("reactions", numbers.reactions, Promises::REACTIONS),
            ("reads", numbers.reads, Promises::READS),
        ];
        let broken = promises.iter().filter(|(_, has, needs)| has < needs);
        let broken: Vec<String> = broken.map(|(what, has, needs)| format!("{has} {what}, a seed needs {needs}")).collect();
        (!broken.is_empty()).then_some(Failure::Promise(broken))
    }

    fn evidence(&self, folder: &Path) -> Vec<(String, String)> {
        let mut evidence = vec![("plan.txt".to_owned(), format!("{:#?}\n", self.plan))];
        for (device, handle) in self.devices.iter().enumerate() {
            let mind = handle.mind();
            let history: Vec<&str> = mind.history.iter().map(String::as_str).collect();
            evidence.push((format!("{}.txt", Town::label(device)), history.join("\n")));
        }
        for place in Place::ALL {
            let log = self.truth.log(self.arena.town.id(place)).values();
            let lines = log.map(|entry| format!("{} {} {} {:.100?}", entry.seq, entry.author, entry.key, entry.event));
            evidence.push((format!("{place:?}.log.txt"), lines.collect::<Vec<_>>().join("\n")));
        }
        for name in ["data.log", "comet.log", "mariadb/log"] {
            if let Ok(text) = std::fs::read(folder.join(name)) {
                evidence.push((format!("server-{}", name.replace('/', "-")), String::from_utf8_lossy(&text).into_owned()));
            }
        }
        evidence
    }
}

/// Pairs for `--set`.
type Settings = Vec<(String, String)>;

/// The engines of a seed beside its folder, and what Skein is told of them.
fn engines(arena: &Arena, folder: &Path) -> Result<(Option<Mariadb>, Settings)> {
    if arena.engine == Engine::Sqlite {
        return Ok((None, Vec::new()));
    }
    let mariadb = Mariadb::start(&arena.template, &folder.join("mariadb"))?;
    let mut settings = mariadb.settings();
    if arena.engine == Engine::Servers {
        settings.extend(shared_servers()?);
        // Topics stay behind, and one broker keeps those of all seeds.
        settings.push(("kafka.partitions".to_owned(), "2".to_owned()));
    }
    Ok((Some(mariadb), settings))
}

fn describe(arena: &Arena, plan: &Plan, device: usize) -> Description {
    use Transport::{Tcp, WebSocket, WebSocketText};
    // Either device of a person speaks something else, and each transport is somebody's.
    const TRANSPORTS: [Transport; DEVICES] = [Tcp, WebSocket, WebSocketText, Tcp, WebSocket, Tcp, WebSocketText, WebSocket];
    Description {
        label: Town::label(device),
        uid: arena.town.uids[person_of(device)],
        token: arena.town.tokens[device].clone(),
        transport: TRANSPORTS[device],
        buffers: if plan.slow == device { Buffers::Small } else { Buffers::Usual },
    }
}

/// History and unread as the server tells them to one person, against the model.
async fn look(
    witness: &mut Witness,
    at: Endpoints,
    town: &Town,
    truth: &Truth,
    place: Place,
    person: usize,
    facts: &Facts,
) -> Result<Vec<String>> {
    let expected = judge::expected(truth, town, place, person, facts);
    let (shown, expected) = match (witness.history(at, town.id(place)).await?, expected) {
        (None, None) => return Ok(Vec::new()),
        (Some(_), None) => return Ok(vec!["is shown a conversation that is none of theirs".to_owned()]),
        (None, Some(_)) => return Ok(vec!["is not shown the conversation".to_owned()]),
        (Some(shown), Some(expected)) => (shown, expected),
    };
    let (history, view) = shown;
    let mut offences = Vec::new();
    offences.extend(
        judge::difference(&history, &truth::history(truth.log(town.id(place)), expected.visible))
            .map(|difference| format!("history: {difference}")),
    );
    // What lists of conversations show of it.
    let last = history.last_key_value().map(|(seq, line)| (*seq, line.clone()));
    if view.last.as_ref().map(truth::line_of) != last {
        offences.push(format!("the last message is {:.200?}, should be {last:.200?}", view.last));
    }
    let unread = view.me.unwrap_or_default().unread;
    if unread != expected.unread {
        offences.push(format!("the server says unread {unread}, should be {}", expected.unread));
    }
    if expected.visible.is_removed {
        let behind = witness.pull_behind(at, town.id(place), expected.visible.to).await?;
        if !behind.is_empty() || view.head > expected.visible.to {
            offences.push(format!("is served {behind:?} after the removal at {}, head {}", expected.visible.to, view.head));
        }
    }
    Ok(offences)
}
