// Package migrating has the examples of docs/migrating.md: what replaces the parts of
// other pools and clients.
package migrating
