// Package client is what oapi-codegen makes of /openapi.json. The test generates it, in a copy of
// this module, so that nothing here can be older than the document.
package client

import _ "github.com/oapi-codegen/runtime" // what is generated needs it
