/** The scope of a call for those that answer clients. */
export { inScope } from '../ports/scope.js';
