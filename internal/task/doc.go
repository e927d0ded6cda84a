// Package task is the room of long work: runs with progress that survive a restart.
//
// Owns: the tables task_*, the worker that runs tasks, and REST /tasks. Does not own: what a task does; rooms hand in a
// [Handler] for each kind of theirs.
//
// Promises: a task is stored in the transaction of the change that starts it, so neither is without the other. A step
// ([Run.Step]) and its progress are one transaction, which fails unless this worker still holds the task: after a crash,
// a cancel, or when two servers share a store, no step is done twice and none is left out. Payloads are sealed, and gone
// when the task ends. docs/adr/0004-tasks.md says why this is not a library.
//
// Start reading at [Service.Start], then [Run.Step].
package task
