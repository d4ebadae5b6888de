/** The parser of the command line. */
export { Argument, Command, InvalidArgumentError, Option } from 'commander';
