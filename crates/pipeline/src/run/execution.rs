//! Takes the steps of a run: each unless its results are there already, or those that it needs could not be made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use activations::DeviceChoice;
use hub::{Hub, Located, ModelReference, Wanted};
use report::OutputFolder;

use crate::activation_texts::Texts;
use crate::fingerprint::Inputs;
use crate::run::headlines::headlines;
use crate::run::plan::{Plan, Step};
use crate::run::state::{State, Written};
use crate::{
    ActivationNormsOptions, Error, ModelPair, Observer, RunOptions, RunOutcome, Side, StepOutcome,
    StepStatus, check_activation_norms,
};

/// Compares all pairs: parameters, hidden states on the texts, pictures of both, and a report of it all.
///
/// A step is left out if an earlier run into the same folder did it with the same version, options and inputs, and its
/// files are still what they were. Weights count as the same if their files' sizes and times of last change are; all
/// else is compared by content. What was done is noted in `run-state.json` after every step, so a run that was
/// interrupted goes on where it stopped. A step that fails does not stop those that do not need it.
///
/// A run can be limited to [some steps](RunOptions::steps). Results of the others are used where an earlier run would leave
/// them as they are; a report takes what there is of them.
///
/// # Errors
/// What no step could work with: [`Error::NothingToCompare`], [`Error::SameFolder`], [`Error::Settings`],
/// [`Error::SplitTwice`], [`Error::NoSuchStep`]; [`Error::Tables`] if the folder cannot be written to, or another run does; and
/// [`Error::RunInterrupted`]. What goes wrong in a step is in the outcome.
pub fn run(
    options: &RunOptions,
    hub: &Hub,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<RunOutcome, Error> {
    let plan = Plan::of(options)?;
    // Steps of two runs would mix otherwise.
    let _alone = OutputFolder::claim(&options.outroot).map_err(|source| Error::Tables { source })?;
    let state = State::read(&options.outroot).unwrap_or_else(|error| {
        observer.warned(&format!("all steps are done again: {}", error.with_causes()));
        State::default()
    });
    if options.splits.is_empty() && options.steps.is_empty() {
        observer.warned("no text was given, so hidden states are not measured");
    }
    let measured = (0..plan.pairs.len()).collect();
    let (located, outcomes) = (BTreeMap::new(), Vec::new());
    let mut run =
        Run { options, hub, observer, interrupted, plan: &plan, state, located, measured, outcomes };
    // Texts are little to fetch, so what is wrong with them is found out first.
    let (texts, others) = plan.steps.split_at(usize::from(options.datasets.is_some()));
    texts.iter().try_for_each(|step| run.take(*step))?;
    run.take_models(others)?;
    others.iter().try_for_each(|step| run.take(*step))?;
    let files = |step| run.files(step).map(<[PathBuf]>::to_vec);
    Ok(RunOutcome {
        outroot: options.outroot.clone(),
        report: files(Step::Report).and_then(|files| files.into_iter().next()),
        headlines: headlines(&run),
        steps: run.outcomes.into_iter().map(|(_, outcome)| outcome).collect(),
    })
}

/// A run on its way.
pub(crate) struct Run<'a> {
    pub(crate) options: &'a RunOptions,
    pub(crate) hub: &'a Hub,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) interrupted: &'a AtomicBool,
    pub(crate) plan: &'a Plan,
    state: State,
    /// The models that were found.
    pub(crate) located: BTreeMap<ModelReference, Located>,
    /// The pairs whose hidden states are measured.
    pub(crate) measured: Vec<usize>,
    pub(crate) outcomes: Vec<(Step, StepOutcome)>,
}

impl Run<'_> {
    /// Finds the models of these steps, by itself a step only where it was asked for.
    fn take_models(&mut self, steps: &[Step]) -> Result<(), Error> {
        let (step, start) = (Step::Models, Instant::now());
        let is_step = steps.contains(&step);
        let name = self.plan.name(step);
        if is_step {
            self.observer.step_started(self.number(step), self.plan.steps.len(), &name, "it is asked for");
        }
        let mut missing = None;
        if steps.iter().any(|step| self.plan.is_needed(*step)) {
            missing = self.locate_models()?;
        }
        if is_step {
            let status = missing.map_or(StepStatus::Done, StepStatus::Failed);
            self.end(step, name, status, Written::default(), start);
        }
        Ok(())
    }

    /// Finds all models before anything is computed, and fetches what is to be fetched. Returns what is wrong with the
    /// first that cannot be obtained.
    fn locate_models(&mut self) -> Result<Option<Error>, Error> {
        let mut missing = None;
        let wanted = Wanted { tokenizer: !self.options.splits.is_empty() };
        for planned in &self.plan.pairs {
            for (side, model) in [(Side::A, &planned.pair.a), (Side::B, &planned.pair.b)] {
                if self.located.contains_key(model) {
                    continue;
                }
                match self.hub.locate(model, wanted, self.options.stream, self.observer.downloads()) {
                    Ok(located) => drop(self.located.insert(model.clone(), located)),
                    Err(hub::Error::Interrupted) => return Err(self.interruption()),
                    // The steps that need it will say why; without it, the other one is fetched in vain.
                    Err(source) => {
                        missing.get_or_insert(Error::NotObtained { side, source: Box::new(source) });
                        break;
                    }
                }
            }
        }
        Ok(missing)
    }

    fn take(&mut self, step: Step) -> Result<(), Error> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(self.interruption());
        }
        if step == Step::Models || !self.plan.is_needed(step) {
            return Ok(());
        }
        if !self.plan.is_asked(step) {
            self.look_up(step);
            return Ok(());
        }
        let (name, start) = (self.plan.name(step), Instant::now());
        let sources = self.plan.sources(step);
        if !sources.is_empty() && sources.iter().all(|source| self.files(*source).is_none()) {
            let needs: Vec<String> = sources.iter().map(|source| self.plan.name(*source)).collect();
            let status = StepStatus::NotRun { needs: needs.join(", ") };
            self.end(step, name, status, Written::default(), start);
            return Ok(());
        }
        if step == Step::ActivationNorms {
            self.leave_out_misfits();
            if self.measured.is_empty() {
                return Ok(());
            }
        }
        let inputs = self.inputs(step);
        let why = match self.earlier(step, &inputs) {
            Ok(written) => {
                self.end(step, name, StepStatus::Unchanged, written, start);
                return Ok(());
            }
            Err(why) => why,
        };
        self.observer.step_started(self.number(step), self.plan.steps.len(), &name, &why);
        match self.perform(step) {
            Ok(written) => {
                let place = self.plan.place(step);
                if let Err(error) = self.state.finished(&place, inputs, &written, &self.options.outroot) {
                    self.observer
                        .warned(&format!("the next run does this step again: {}", error.with_causes()));
                }
                self.end(step, name, StepStatus::Done, written, start);
            }
            Err(Error::Interrupted | Error::ComparisonInterrupted { .. }) => return Err(self.interruption()),
            Err(error) => self.end(step, name, StepStatus::Failed(error), Written::default(), start),
        }
        Ok(())
    }

    /// Uses what an earlier run left of a step that was not asked for.
    fn look_up(&mut self, step: Step) {
        let (name, start) = (self.plan.name(step), Instant::now());
        if step == Step::ActivationNorms {
            self.leave_out_misfits();
            if self.measured.is_empty() {
                return;
            }
        }
        let found = self.state.results(&self.plan.place(step), &self.inputs(step), &self.options.outroot);
        let (status, written) = match found {
            Ok(written) => (StepStatus::Kept, written),
            Err(why) => (StepStatus::LeftOut { why }, Written::default()),
        };
        self.end(step, name, status, written, start);
    }

    /// The results of an earlier run, or why the step has to be done.
    fn earlier(&self, step: Step, inputs: &Inputs) -> Result<Written, String> {
        let results = self.state.results(&self.plan.place(step), inputs, &self.options.outroot)?;
        if self.options.force { Err("all steps are asked for anew".to_owned()) } else { Ok(results) }
    }

    /// Leaves out pairs whose hidden states cannot be measured, so that they do not stop the others.
    fn leave_out_misfits(&mut self) {
        let step = Step::ActivationNorms;
        let nothing_to_do = self.earlier(step, &self.inputs(step)).is_ok();
        // What was measured elsewhere may have been so on a device that is not here.
        let device =
            if self.plan.is_asked(step) { self.options.activation_norms.device } else { DeviceChoice::Cpu };
        let options = |pairs: &[&ModelPair]| ActivationNormsOptions {
            device,
            ..self.options.activation_norms_of(pairs.iter().copied())
        };
        let of_all = options(&[]);
        // Texts that cannot be read and a device that is not there are no fault of a pair.
        if nothing_to_do || Texts::read(&of_all).is_err() || of_all.device.open().is_err() {
            return;
        }
        for index in std::mem::take(&mut self.measured) {
            let (planned, start) = (&self.plan.pairs[index], Instant::now());
            match check_activation_norms(&options(&[&planned.pair]), self.hub) {
                Ok(()) => self.measured.push(index),
                Err(error) => {
                    let name = format!("{}, {}", self.plan.name(step), planned.label());
                    self.end(step, name, StepStatus::Failed(error), Written::default(), start);
                }
            }
        }
    }

    fn end(&mut self, step: Step, name: String, status: StepStatus, written: Written, start: Instant) {
        self.observer.step_finished(self.number(step), self.plan.steps.len(), &name, &status);
        let Written { files: outputs, gaps } = written;
        self.outcomes.push((step, StepOutcome { name, status, duration: start.elapsed(), outputs, gaps }));
    }

    /// The files of a step whose results are there.
    pub(crate) fn files(&self, step: Step) -> Option<&[PathBuf]> {
        let mut outcomes = self.outcomes.iter();
        let found = outcomes.find(|(other, outcome)| *other == step && outcome.status.has_results());
        found.map(|(_, outcome)| outcome.outputs.as_slice())
    }

    /// From 1.
    fn number(&self, step: Step) -> usize {
        self.plan.steps.iter().position(|other| *other == step).map_or(0, |index| index + 1)
    }

    fn interruption(&self) -> Error {
        let finished = self.outcomes.iter().filter(|(_, outcome)| outcome.status.has_results()).count();
        Error::RunInterrupted { finished, steps: self.plan.steps.len() }
    }
}
