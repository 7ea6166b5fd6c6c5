//! `ringcast top`: the cores of a running server, as they work.

mod sample;
mod screen;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde::Deserialize;
use serde_json::Value;

use super::operator::{Operator, OperatorArgs};
use crate::control::exit;
use sample::{Core, Order, Sample, View, sort, view};

/// Bounds of the time between two looks.
const PACE_MS: std::ops::RangeInclusive<u64> = 100..=60_000;

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    operator: OperatorArgs,
    /// Milliseconds between two looks.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    every: u64,
    /// Look twice, print, end.
    #[arg(long)]
    once: bool,
    /// Print JSON; with --once.
    #[arg(long, requires = "once")]
    json: bool,
}

/// Where the numbers come from.
struct Server<'a> {
    operator: Operator<'a>,
    args: &'a TopArgs,
    begun: Instant,
}

#[derive(Deserialize)]
struct Cores {
    cores: Vec<Core>,
}

impl Server<'_> {
    fn look(&self) -> Result<Sample, String> {
        let Cores { cores } = self.operator.read("/stats/cores")?;
        let stats: Value = self.operator.read("/stats")?;
        let at_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Sample { at_ms, cores, stats })
    }
}

/// `ringcast top`.
pub(super) fn run(args: &TopArgs) -> ExitCode {
    let operator = Operator::new(&args.operator);
    let server = Server { operator, args, begun: Instant::now() };
    // A server that is not there is told before the screen is taken.
    let result = match server.look() {
        Ok(first) if args.once => once(&server, &first),
        Ok(first) => watch(&server, first),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringcast top: {error}");
            ExitCode::from(exit::FAILURE)
        }
    }
}

fn once(server: &Server<'_>, first: &Sample) -> Result<(), String> {
    std::thread::sleep(Duration::from_millis(server.args.every));
    let view = view(Some(first), &server.look()?);
    let text = if server.args.json { format!("{:#}\n", view.json()) } else { screen::text(&view) };
    super::config::print(&text);
    Ok(())
}

/// What the keys have changed.
struct Watch {
    order: Order,
    every: Duration,
    quit: bool,
}

impl Watch {
    fn press(&mut self, key: KeyCode, modifiers: KeyModifiers) {
        let pace = |ms: u64| Duration::from_millis(ms.clamp(*PACE_MS.start(), *PACE_MS.end()));
        let every_ms = u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX);
        match key {
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => self.quit = true,
            KeyCode::Char('q') | KeyCode::Esc => self.quit = true,
            KeyCode::Char('+') => self.every = pace(every_ms / 2),
            KeyCode::Char('-') => self.every = pace(every_ms.saturating_mul(2)),
            KeyCode::Char(key) => {
                let known = Order::ALL.iter().find(|(known, ..)| *known == key);
                self.order = known.map_or(self.order, |(_, order, _)| *order);
            }
            _ => {}
        }
    }
}

fn watch(server: &Server<'_>, first: Sample) -> Result<(), String> {
    let mut terminal = ratatui::try_init()
        .map_err(|error| format!("{error}; without a terminal: ringcast top --once"))?;
    let every = Duration::from_millis(server.args.every);
    let mut state = Watch { order: Order::default(), every, quit: false };
    let (mut before, mut shown, mut note) = (first, View::default(), String::new());
    shown.clone_from(&view(None, &before));
    let result = loop {
        sort(&mut shown.rows, state.order);
        if let Err(error) = terminal.draw(|frame| screen::draw(frame, &shown, state.order, &note)) {
            break Err(error.to_string());
        }
        match keys_until(Instant::now() + state.every, &mut state) {
            Err(error) => break Err(error.to_string()),
            Ok(()) if state.quit => break Ok(()),
            Ok(()) => {}
        }
        match server.look() {
            Ok(now) => {
                shown = view(Some(&before), &now);
                (before, note) = (now, String::new());
            }
            Err(error) => note = error,
        }
    };
    ratatui::restore();
    result
}

/// Takes keys until it is time to look again, or one of them changes what is shown.
fn keys_until(end: Instant, state: &mut Watch) -> std::io::Result<()> {
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if !event::poll(left)? {
            break;
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                state.press(key.code, key.modifiers);
                return Ok(());
            }
            Event::Resize(..) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_change_order_and_pace_within_bounds() {
        let mut state =
            Watch { order: Order::Core, every: Duration::from_millis(150), quit: false };
        let none = KeyModifiers::NONE;
        state.press(KeyCode::Char('b'), none);
        state.press(KeyCode::Char('x'), none);
        assert_eq!(state.order, Order::Busy);
        state.press(KeyCode::Char('+'), none);
        assert_eq!(state.every, Duration::from_millis(100));
        for _ in 0..20 {
            state.press(KeyCode::Char('-'), none);
        }
        assert_eq!((state.every, state.quit), (Duration::from_secs(60), false));
        state.press(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(state.quit);
    }
}
