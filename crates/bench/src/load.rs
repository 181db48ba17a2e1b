//! Slices of load, and what they say.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::future::try_join_all;
use tokio::runtime::Runtime;

use crate::client::{Connection, Endpoint, Request};
use crate::process::Process;

/// Work that is measured in slices, in turn with other work.
pub(crate) trait Load {
    /// Works for about so many seconds.
    fn slice(&mut self, seconds: f64) -> anyhow::Result<Slice>;
}

/// What one slice of work did.
#[derive(Default)]
pub(crate) struct Slice {
    pub(crate) done: u64,
    pub(crate) seconds: f64,
    /// Processor time of the server, in seconds; zero for one that runs elsewhere.
    pub(crate) cpu: f64,
    /// Processor time of the database server, where there is one.
    pub(crate) database_cpu: f64,
    /// Microseconds of each request.
    pub(crate) latencies: Vec<u32>,
    /// Bytes of all bodies that were returned.
    pub(crate) bytes: u64,
}

impl Slice {
    pub(crate) fn rate(&self) -> f64 {
        count(self.done) / self.seconds.max(1e-9)
    }
}

/// The slices of one side.
#[derive(Default)]
pub(crate) struct Series(pub(crate) Vec<Slice>);

impl Series {
    pub(crate) fn done(&self) -> u64 {
        self.0.iter().map(|slice| slice.done).sum()
    }

    /// Requests a second: the median of the slices.
    pub(crate) fn rate(&self) -> f64 {
        median(self.0.iter().map(Slice::rate).collect())
    }

    /// Microseconds of the server's processor per request: the median of the slices.
    pub(crate) fn cpu(&self) -> f64 {
        median(self.0.iter().map(|slice| slice.cpu * 1e6 / count(slice.done.max(1))).collect())
    }

    /// The same of the database server.
    pub(crate) fn database_cpu(&self) -> f64 {
        let each = |slice: &Slice| slice.database_cpu * 1e6 / count(slice.done.max(1));
        median(self.0.iter().map(each).collect())
    }

    /// Milliseconds below which a part of the requests was answered.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut all: Vec<u32> = self.0.iter().flat_map(|slice| slice.latencies.clone()).collect();
        all.sort_unstable();
        let at = whole(part * count(size(&all).saturating_sub(1)));
        all.get(at).map_or(0.0, |micros| f64::from(*micros) / 1e3)
    }

    pub(crate) fn bytes_each(&self) -> f64 {
        count(self.0.iter().map(|slice| slice.bytes).sum()) / count(self.done().max(1))
    }
}

/// How many times faster the first is: the median over slices that ran next to each other.
pub(crate) fn ratio(a: &Series, b: &Series) -> f64 {
    let pairs = a.0.iter().zip(&b.0);
    median(pairs.map(|(a, b)| a.rate() / b.rate().max(1e-9)).collect())
}

/// Runs loads in turn, so that whatever disturbs the machine disturbs them alike. The first round
/// only warms up.
pub(crate) fn in_turn(
    rounds: usize,
    seconds: f64,
    loads: &mut [Box<dyn Load + '_>],
) -> anyhow::Result<Vec<Series>> {
    let mut all: Vec<Series> = loads.iter().map(|_| Series::default()).collect();
    for load in loads.iter_mut() {
        drop(load.slice(seconds / 3.0)?);
    }
    for _ in 0..rounds {
        for (load, series) in loads.iter_mut().zip(&mut all) {
            series.0.push(load.slice(seconds)?);
        }
    }
    Ok(all)
}

/// The processes whose processor time counts: of the server and of its database.
pub(crate) type Processes<'a> = (Option<&'a Process>, Option<&'a Process>);

/// Load over HTTP.
pub(crate) struct Http<'a> {
    runtime: &'a Runtime,
    connections: Vec<Connection>,
    generate: RefCell<Generate<'a>>,
    processes: Processes<'a>,
    /// Statuses that are right.
    expected: fn(u16) -> bool,
}

/// Makes the next request; a slice ends early when there is none.
type Generate<'a> = Box<dyn FnMut() -> Option<Request> + 'a>;

impl<'a> Http<'a> {
    /// Opens connections to a server.
    pub(crate) fn open(
        runtime: &'a Runtime,
        endpoint: &Endpoint,
        connections: usize,
        processes: Processes<'a>,
        generate: impl FnMut() -> Option<Request> + 'a,
    ) -> anyhow::Result<Self> {
        let open = (0..connections).map(|_| Connection::open(endpoint));
        let connections = runtime.block_on(try_join_all(open))?;
        let generate: Generate<'a> = Box::new(generate);
        let generate = RefCell::new(generate);
        let expected = |status| (200..300).contains(&status);
        Ok(Self { runtime, connections, generate, processes, expected })
    }

    /// The same load with other statuses that are right.
    pub(crate) fn expecting(self, expected: fn(u16) -> bool) -> Self {
        Self { expected, ..self }
    }
}

impl Load for Http<'_> {
    fn slice(&mut self, seconds: f64) -> anyhow::Result<Slice> {
        let cpu = |process: Option<&Process>| process.map_or(0.0, Process::cpu_seconds);
        let (server, database) = self.processes;
        let before = (cpu(server), cpu(database));
        let started = Instant::now();
        let end = started + Duration::from_secs_f64(seconds);
        let (generate, expected) = (&self.generate, self.expected);
        let work = self.connections.iter_mut().map(|one| until(one, generate, expected, end));
        let mut slice = Slice::default();
        for part in self.runtime.block_on(try_join_all(work))? {
            slice.done += part.done;
            slice.bytes += part.bytes;
            slice.latencies.extend(part.latencies);
        }
        slice.seconds = started.elapsed().as_secs_f64();
        slice.cpu = cpu(server) - before.0;
        slice.database_cpu = cpu(database) - before.1;
        Ok(slice)
    }
}

/// Sends one request after another until the time is over. A refusal ends the run: what is measured
/// has to be what was meant.
async fn until<'a>(
    connection: &mut Connection,
    generate: &RefCell<Generate<'a>>,
    expected: fn(u16) -> bool,
    end: Instant,
) -> anyhow::Result<Slice> {
    let mut slice = Slice::default();
    loop {
        let started = Instant::now();
        if started >= end {
            return Ok(slice);
        }
        let next = (generate.borrow_mut())();
        let Some(request) = next else { return Ok(slice) };
        let answer = connection.call(&request).await?;
        if !expected(answer.status) {
            bail!("{} {}: {}", request.method, request.path, answer.shown());
        }
        slice.done += 1;
        slice.bytes += size(answer.body);
        slice.latencies.push(micros(started.elapsed()));
    }
}

pub(crate) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => at(middle),
        _ => f64::midpoint(at(middle - 1), at(middle)),
    }
}

/// A count as a number that can be divided; counts here are far below 2⁵³.
#[expect(clippy::as_conversions, reason = "there is no lossless conversion, and none is needed")]
pub(crate) fn count(value: u64) -> f64 {
    value as f64
}

/// The length of a list as a `u64`.
pub(crate) fn size<T>(values: &[T]) -> u64 {
    u64::try_from(values.len()).unwrap_or(u64::MAX)
}

#[expect(clippy::as_conversions, reason = "the value is a small index that is not negative")]
pub(crate) fn whole(value: f64) -> usize {
    value.round().max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_of_values_is_between_two() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn ratios_compare_neighbours() {
        let slice = |done| Slice { done, seconds: 1.0, ..Slice::default() };
        let slow = Series([10, 20, 30].map(slice).into());
        let fast = Series([20, 40, 60].map(slice).into());
        assert!((ratio(&slow, &fast) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn quantiles_come_from_all_slices() {
        let slice = |latencies: Vec<u32>| Slice { done: 1, latencies, ..Slice::default() };
        let series = Series(vec![slice((1..=50).collect()), slice((51..=101).collect())]);
        assert!((series.quantile(0.5) - 0.051).abs() < 1e-9);
        assert!((series.quantile(1.0) - 0.101).abs() < 1e-9);
    }
}
