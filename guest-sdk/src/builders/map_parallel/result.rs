//! What a batch came to.

use super::CompletionReason;
use super::engine::Ended;
use crate::error::{OperationError, OperationErrorKind};
use crate::wire::WireError;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// How far an item came; as JSON `SUCCEEDED`, `FAILED` or `STARTED`.
///
/// ```
/// use everstep_sdk::builders::map_parallel::{BatchItemStatus, BatchResult};
///
/// fn left_undone(batch: &BatchResult<u32>) -> Vec<usize> {
///     let undone = batch.items.iter().filter(|item| item.status == BatchItemStatus::Started);
///     undone.map(|item| item.index).collect()
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum BatchItemStatus {
    /// It has a result.
    Succeeded,
    /// It has an error.
    Failed,
    /// The batch was over before it ended. What it had begun was dropped, and its context stays open in the log.
    Started,
}

/// An item that started.
///
/// The fields are AWS's; a [result serdes](super::BatchBuilder::result_serdes) makes items with [`new`](Self::new).
///
/// ```
/// use everstep_sdk::builders::map_parallel::BatchItem;
///
/// fn line(item: &BatchItem<u32>) -> String {
///     match item.result {
///         Some(cents) => format!("{}: {cents} cents", item.name),
///         None => format!("{}: {}", item.name, item.error_message.as_deref().unwrap_or("not done")),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchItem<O> {
    /// Its place in the input, from 0.
    pub index: usize,
    /// Its name in the history; empty if it has none.
    pub name: String,
    /// How far it came.
    pub status: BatchItemStatus,
    /// Its result, if it succeeded.
    pub result: Option<O>,
    /// What its error said, if it failed.
    pub error_message: Option<String>,
    /// The type of its error, if it failed; see [`TypedError`](crate::TypedError).
    pub error_type: Option<String>,
    /// What its error carried, if anything. Passed on and never interpreted.
    pub error_data: Option<String>,
    /// Its error's stack trace, innermost frame first; often empty.
    pub stack_trace: Vec<String>,
}

impl<O> BatchItem<O> {
    /// An item; its error's payload and stack trace are fields to be set.
    ///
    /// ```
    /// use everstep_sdk::builders::map_parallel::{BatchItem, BatchItemStatus};
    ///
    /// let item = BatchItem::new(0, String::new(), BatchItemStatus::Succeeded, Some(42), None, None);
    /// assert_eq!(item.result, Some(42));
    /// ```
    #[must_use]
    pub fn new(
        index: usize,
        name: String,
        status: BatchItemStatus,
        result: Option<O>,
        error_message: Option<String>,
        error_type: Option<String>,
    ) -> Self {
        Self { index, name, status, result, error_message, error_type, error_data: None, stack_trace: Vec::new() }
    }

    fn with_error(mut self, wire: &WireError) -> Self {
        self.error_message = wire.error_message().map(str::to_owned);
        self.error_type = wire.error_type().map(str::to_owned);
        self.error_data = wire.error_data().map(str::to_owned);
        self.stack_trace = wire.stack_trace().to_vec();
        self
    }

    /// What was recorded of its failure; none if it did not fail.
    ///
    /// ```
    /// use everstep_sdk::builders::map_parallel::{BatchItem, BatchItemStatus};
    ///
    /// let why = Some("no funds".to_owned());
    /// let item = BatchItem::<u32>::new(0, String::new(), BatchItemStatus::Failed, None, why, None);
    /// assert_eq!(item.error().and_then(|wire| wire.error_message().map(str::to_owned)).as_deref(), Some("no funds"));
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<WireError> {
        (self.status == BatchItemStatus::Failed).then(|| {
            WireError::new(self.error_type.as_deref(), self.error_message.as_deref())
                .with_error_data(self.error_data.clone())
                .with_stack_trace(self.stack_trace.clone())
        })
    }
}

/// Whether any item failed.
///
/// ```
/// use everstep_sdk::builders::map_parallel::{BatchResult, BatchStatus, CompletionReason};
///
/// let empty = BatchResult::<u32>::new(Vec::new(), CompletionReason::AllCompleted);
/// assert_eq!(empty.status(), BatchStatus::Succeeded);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchStatus {
    /// None did.
    Succeeded,
    /// At least one did.
    Failed,
}

impl BatchStatus {
    /// `SUCCEEDED` or `FAILED`.
    ///
    /// ```
    /// use everstep_sdk::builders::map_parallel::BatchStatus;
    ///
    /// assert_eq!(BatchStatus::Failed.as_str(), "FAILED");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }
}

impl fmt::Display for BatchStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of an item: one of [`BatchResult::errors`].
///
/// ```
/// use everstep_sdk::builders::map_parallel::BatchError;
///
/// fn line(error: BatchError<'_>) -> String {
///     format!("item {} ({}): {}", error.index, error.error_type.unwrap_or("Error"), error.message)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchError<'a> {
    /// The item's place in the input, from 0.
    pub index: usize,
    /// The item's name; empty if it has none.
    pub name: &'a str,
    /// What the error said.
    pub message: &'a str,
    /// The type of the error.
    pub error_type: Option<&'a str>,
    /// What the error carried.
    pub error_data: Option<&'a str>,
    /// The error's stack trace, innermost frame first.
    pub stack_trace: &'a [String],
}

/// What a `map` or `parallel` came to: the items that started, in the order of the input. Items that never started are
/// not among them.
///
/// The same live and on replay, whatever its size. Recorded as JSON like
/// `{"all":[{"index":0,"status":"SUCCEEDED","result":42}],"completionReason":"ALL_COMPLETED"}`, unless there is a
/// [result serdes](super::BatchBuilder::result_serdes).
///
/// ```
/// use everstep_sdk::builders::map_parallel::{BatchItem, BatchItemStatus, BatchResult, CompletionReason};
///
/// let items = vec![BatchItem::new(0, String::new(), BatchItemStatus::Succeeded, Some("a"), None, None)];
/// let batch = BatchResult::new(items, CompletionReason::AllCompleted);
/// assert_eq!(batch.results(), [&"a"]);
/// assert!(batch.throw_if_error().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchResult<O> {
    /// The items that started, in the order of the input.
    #[serde(rename = "all")]
    pub items: Vec<BatchItem<O>>,
    /// Why the batch was over.
    #[serde(rename = "completionReason")]
    pub reason: CompletionReason,
}

impl<O> BatchResult<O> {
    /// For a [result serdes](super::BatchBuilder::result_serdes), and for tests. `items` are the items that started, in
    /// the order of the input.
    ///
    /// ```
    /// use everstep_sdk::builders::map_parallel::{BatchResult, CompletionReason};
    ///
    /// let nothing_to_do = BatchResult::<u32>::new(Vec::new(), CompletionReason::AllCompleted);
    /// ```
    #[must_use]
    pub fn new(items: Vec<BatchItem<O>>, reason: CompletionReason) -> Self {
        Self { items, reason }
    }

    pub(super) fn from_ended(ended: Ended<O, WireError>, names: &[Option<String>]) -> Self {
        let names = names.iter().map(|name| name.clone().unwrap_or_default());
        let items = ended.items.into_iter().zip(names).enumerate().map(|(index, (outcome, name))| match outcome {
            None => BatchItem::new(index, name, BatchItemStatus::Started, None, None, None),
            Some(Ok(value)) => BatchItem::new(index, name, BatchItemStatus::Succeeded, Some(value), None, None),
            Some(Err(wire)) => BatchItem::new(index, name, BatchItemStatus::Failed, None, None, None).with_error(&wire),
        });
        Self { items: items.collect(), reason: ended.reason }
    }

    /// The items that started, in the order of the input.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// for item in batch.all() {
    ///     println!("{}: {:?}", item.index, item.status);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn all(&self) -> &[BatchItem<O>] {
        &self.items
    }

    /// The items that succeeded, in the order of the input.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// let charged: Vec<usize> = batch.succeeded().iter().map(|item| item.index).collect();
    /// # }
    /// ```
    #[must_use]
    pub fn succeeded(&self) -> Vec<&BatchItem<O>> {
        self.of_status(BatchItemStatus::Succeeded).collect()
    }

    /// The items that failed, in the order of the input.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// let to_do_by_hand: Vec<&str> = batch.failed().iter().map(|item| item.name.as_str()).collect();
    /// # }
    /// ```
    #[must_use]
    pub fn failed(&self) -> Vec<&BatchItem<O>> {
        self.of_status(BatchItemStatus::Failed).collect()
    }

    /// The items that had not ended when the batch was over, in the order of the input.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// println!("{} items were given up", batch.started().len());
    /// # }
    /// ```
    #[must_use]
    pub fn started(&self) -> Vec<&BatchItem<O>> {
        self.of_status(BatchItemStatus::Started).collect()
    }

    /// The results of the items that succeeded, in the order of the input.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// let most = batch.results().into_iter().max();
    /// # }
    /// ```
    #[doc(alias = "get_results")]
    #[must_use]
    pub fn results(&self) -> Vec<&O> {
        self.of_status(BatchItemStatus::Succeeded).filter_map(|item| item.result.as_ref()).collect()
    }

    /// The results of the items that succeeded, in the order of the input.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// let total: u32 = batch.into_results().into_iter().sum();
    /// # }
    /// ```
    #[must_use]
    pub fn into_results(self) -> Vec<O> {
        let succeeded = self.items.into_iter().filter(|item| item.status == BatchItemStatus::Succeeded);
        succeeded.filter_map(|item| item.result).collect()
    }

    /// The errors of the items that failed, in the order of the input.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// for error in batch.errors() {
    ///     println!("item {}: {}", error.index, error.message);
    /// }
    /// # }
    /// ```
    #[doc(alias = "get_errors")]
    #[must_use]
    pub fn errors(&self) -> Vec<BatchError<'_>> {
        let failed = self.of_status(BatchItemStatus::Failed).map(|item| BatchError {
            index: item.index,
            name: &item.name,
            message: item.error_message.as_deref().unwrap_or_default(),
            error_type: item.error_type.as_deref(),
            error_data: item.error_data.as_deref(),
            stack_trace: &item.stack_trace,
        });
        failed.collect()
    }

    /// The error of the first item that failed, in the order of the input.
    ///
    /// # Errors
    ///
    /// If any item failed: a [`ChildContextError`](crate::ChildContextError) with what was recorded of it, so that its
    /// type names the failure of whatever it is passed on to.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// match batch.throw_if_error() {
    ///     Ok(()) => println!("all charged"),
    ///     Err(error) => println!("{error:#}"),
    /// }
    /// # }
    /// ```
    pub fn throw_if_error(&self) -> Result<(), OperationError> {
        match self.items.iter().find_map(BatchItem::error) {
            Some(wire) => {
                Err(OperationError::from_record(OperationErrorKind::child(wire.clone()), wire, "FAILED", None))
            }
            None => Ok(()),
        }
    }

    /// Whether any item failed, as a status.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// println!("the batch {}", batch.status()); // SUCCEEDED or FAILED
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> BatchStatus {
        if self.has_failure() { BatchStatus::Failed } else { BatchStatus::Succeeded }
    }

    /// Why the batch was over.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// use everstep_sdk::builders::map_parallel::CompletionReason;
    ///
    /// let enough = batch.completion_reason() == CompletionReason::MinSuccessfulReached;
    /// # }
    /// ```
    #[must_use]
    pub fn completion_reason(&self) -> CompletionReason {
        self.reason
    }

    /// Whether any item failed.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// if batch.has_failure() {
    ///     println!("{} of {} failed", batch.failure_count(), batch.total_count());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn has_failure(&self) -> bool {
        self.failure_count() > 0
    }

    /// How many items succeeded.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// println!("{} charged", batch.success_count());
    /// # }
    /// ```
    #[must_use]
    pub fn success_count(&self) -> usize {
        self.of_status(BatchItemStatus::Succeeded).count()
    }

    /// How many items failed.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// let acceptable = batch.failure_count() <= 2;
    /// # }
    /// ```
    #[must_use]
    pub fn failure_count(&self) -> usize {
        self.of_status(BatchItemStatus::Failed).count()
    }

    /// How many items had not ended when the batch was over.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// assert_eq!(batch.started_count(), batch.started().len());
    /// # }
    /// ```
    #[must_use]
    pub fn started_count(&self) -> usize {
        self.of_status(BatchItemStatus::Started).count()
    }

    /// How many items started: those that ended and those that had not when the batch was over.
    ///
    /// ```
    /// # fn example(batch: everstep_sdk::builders::map_parallel::BatchResult<u32>) {
    /// assert_eq!(batch.total_count(), batch.success_count() + batch.failure_count() + batch.started_count());
    /// # }
    /// ```
    #[must_use]
    pub fn total_count(&self) -> usize {
        self.items.len()
    }

    fn of_status(&self, status: BatchItemStatus) -> impl Iterator<Item = &BatchItem<O>> {
        self.items.iter().filter(move |item| item.status == status)
    }
}

impl Serialize for CompletionReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CompletionReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let reason = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        reason.ok_or_else(|| de::Error::custom(format_args!("{text:?} is no completion reason")))
    }
}

/// An error as AWS writes it in JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ErrorJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_data: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stack_trace: Vec<String>,
}

impl From<&WireError> for ErrorJson {
    fn from(wire: &WireError) -> Self {
        Self {
            error_type: wire.error_type().map(str::to_owned),
            error_message: wire.error_message().map(str::to_owned),
            error_data: wire.error_data().map(str::to_owned),
            stack_trace: wire.stack_trace().to_vec(),
        }
    }
}

/// The JSON form of an item; `R` is its result, or a reference to it.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "R: Deserialize<'de>"))]
struct ItemJson<R> {
    index: usize,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    status: BatchItemStatus,
    // A result that is null is a result.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    result: Option<R>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson>,
}

fn present<'de, D: Deserializer<'de>, R: Deserialize<'de>>(deserializer: D) -> Result<Option<R>, D::Error> {
    R::deserialize(deserializer).map(Some)
}

impl<O: Serialize> Serialize for BatchItem<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let item = ItemJson {
            index: self.index,
            name: self.name.clone(),
            status: self.status,
            result: self.result.as_ref(),
            error: self.error().as_ref().map(ErrorJson::from),
        };
        item.serialize(serializer)
    }
}

impl<'de, O: Deserialize<'de>> Deserialize<'de> for BatchItem<O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let item = ItemJson::<O>::deserialize(deserializer)?;
        let error = item.error.unwrap_or_default();
        Ok(Self {
            index: item.index,
            name: item.name,
            status: item.status,
            result: item.result,
            error_message: error.error_message,
            error_type: error.error_type,
            error_data: error.error_data,
            stack_trace: error.stack_trace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declined() -> WireError {
        WireError::new(Some("CardDeclined"), Some("no funds"))
            .with_error_data(Some(r#"{"code":51}"#.to_owned()))
            .with_stack_trace(vec!["charge".to_owned()])
    }

    fn batch() -> BatchResult<Option<u32>> {
        let items = vec![Some(Ok(Some(7))), Some(Err(declined())), Some(Ok(None)), None];
        let names = [Some("first".to_owned()), None, None, None];
        BatchResult::from_ended(Ended { items, reason: CompletionReason::PredicateMatched }, &names)
    }

    #[test]
    fn accessors_count_and_select_by_status_in_the_order_of_the_input() {
        let batch = batch();
        let indices = |items: Vec<&BatchItem<_>>| items.iter().map(|item| item.index).collect::<Vec<_>>();
        assert_eq!(indices(batch.succeeded()), [0, 2]);
        assert_eq!(indices(batch.failed()), [1]);
        assert_eq!(indices(batch.started()), [3]);
        assert_eq!(batch.results(), [&Some(7), &None]);
        assert_eq!((batch.success_count(), batch.failure_count(), batch.started_count()), (2, 1, 1));
        assert_eq!((batch.total_count(), batch.all().len()), (4, 4));
        assert_eq!((batch.has_failure(), batch.status()), (true, BatchStatus::Failed));
        assert_eq!(batch.completion_reason(), CompletionReason::PredicateMatched);
        assert_eq!(batch.clone().into_results(), [Some(7), None]);

        let stack_trace = ["charge".to_owned()];
        let error = BatchError {
            index: 1,
            name: "",
            message: "no funds",
            error_type: Some("CardDeclined"),
            error_data: Some(r#"{"code":51}"#),
            stack_trace: &stack_trace,
        };
        assert_eq!(batch.errors(), [error]);
    }

    #[test]
    fn throw_if_error_keeps_the_whole_record() {
        let error = batch().throw_if_error().expect_err("an item failed");
        assert_eq!((error.wire(), error.status(), error.operation_id()), (Some(&declined()), Some("FAILED"), None));
        assert!(matches!(error.kind(), OperationErrorKind::ChildContext(_)));
        let clean: BatchResult<u32> = BatchResult::new(Vec::new(), CompletionReason::AllCompleted);
        assert!(clean.throw_if_error().is_ok());
        assert_eq!(clean.status(), BatchStatus::Succeeded);
    }

    #[test]
    fn the_json_form_is_aws_s_and_loses_nothing() {
        let json = serde_json::to_string(&batch()).expect("a batch is JSON");
        assert_eq!(
            json,
            concat!(
                r#"{"all":[{"index":0,"name":"first","status":"SUCCEEDED","result":7},"#,
                r#"{"index":1,"status":"FAILED","error":{"ErrorType":"CardDeclined","ErrorMessage":"no funds","#,
                r#""ErrorData":"{\"code\":51}","StackTrace":["charge"]}},"#,
                r#"{"index":2,"status":"SUCCEEDED","result":null},{"index":3,"status":"STARTED"}],"#,
                r#""completionReason":"PREDICATE_MATCHED"}"#
            )
        );
        assert_eq!(serde_json::from_str::<BatchResult<Option<u32>>>(&json).expect("it can be read"), batch());
        assert!(serde_json::from_str::<BatchResult<u32>>(r#"{"all":[],"completionReason":"BORED"}"#).is_err());
    }
}
