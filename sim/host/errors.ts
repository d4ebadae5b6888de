/**
 * A call refused with a reply. `type` is the name of the exception in the real daemon; clients choose their exception class by
 * it.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  constructor(
    readonly type: string,
    message: string,
  ) {
    super(message);
  }
}

/** The connection closes without a byte: after a framing error, or where the real daemon fails on an unexpected exception. */
export class NoReply extends Error {
  override readonly name = 'NoReply';
}

/** A string as Python's `repr` prints it; messages quote names this way. */
export function repr(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return escaped.includes("'") && !escaped.includes('"')
    ? `"${escaped}"`
    : `'${escaped.replaceAll("'", "\\'")}'`;
}

/** The errors with a text of their own, one line each, in the words of release 4.4. */
export const errors = {
  protocol: (message: string) => new ApiError('ProtocolError', message),
  denied: (message: string) => new ApiError('PermissionDenied', message),
  value: (message: string) => new ApiError('QubesValueError', message),
  propertyValue: (message: string) => new ApiError('QubesPropertyValueError', message),
  exception: (message: string) => new ApiError('QubesException', message),
  noDomain: (name: string) => new ApiError('QubesVMNotFoundError', `No such domain: ${repr(name)}`),
  noProperty: (name: string, holder: string) =>
    new ApiError('QubesNoSuchPropertyError', `Invalid property ${repr(name)} of ${holder}`),
  noFeature: (name: string, holder: string) =>
    new ApiError('QubesFeatureNotFoundError', `Feature not set for domain ${holder}: ${name}`),
  noTag: (name: string, holder: string) =>
    new ApiError('QubesTagNotFoundError', `Tag not set for domain ${holder}: ${name}`),
  noLabel: (name: string) => new ApiError('QubesLabelNotFoundError', `Label does not exist: ${name}`),
  labelInUse: (name: string) => new ApiError('QubesLabelInUseError', `Label is still in use: ${repr(name)}`),
  labelValue: (message: string) => new ApiError('QubesInvalidLabelValueError', message),
  badLabel: (message: string) => new ApiError('QubesInvalidLabelError', message),
  badTag: (message: string) => new ApiError('QubesInvalidTagError', message),
  poolInUse: (name: string) => new ApiError('QubesPoolInUseError', `Storage pool is in use: ${repr(name)}`),
  noToken: () =>
    new ApiError('QubesVolumeCopyTokenNotFoundError', "'Token to clone volume of qube was not found'"),
  exists: (name: string) => new ApiError('QubesVMAlreadyExistsError', `Qube already exists: ${name}`),
  inUse: (message: string) => new ApiError('QubesVMInUseError', message),
  notStarted: (name: string) =>
    new ApiError('QubesVMNotStartedError', `Domain is powered off: ${repr(name)}`),
  notRunning: (name: string) =>
    new ApiError(
      'QubesVMNotRunningError',
      `Domain not running (either powered off or paused): ${repr(name)}`,
    ),
  notPaused: (name: string) => new ApiError('QubesVMNotPausedError', `Domain is not paused: ${repr(name)}`),
  notHalted: (name: string, message = `Domain is not powered off: ${repr(name)}`) =>
    new ApiError('QubesVMNotHaltedError', message),
  shutdownTimeout: (name: string) =>
    new ApiError('QubesVMShutdownTimeoutError', `Domain shutdown timed out: ${repr(name)}`),
  memory: (name: string) =>
    new ApiError('QubesMemoryError', `Not enough memory to start domain ${repr(name)}`),
  /** Device errors derive from Python's KeyError, whose text is the repr of its argument. */
  device: (type: string, message: string) => new ApiError(type, repr(message)),
};

/**
 * Exceptions that mean "the request itself is wrong or forbidden". Up to 4.3 the daemon answers them with an empty
 * reply; 4.4 names them.
 */
export const SILENT_BEFORE_4_4: ReadonlySet<string> = new Set([
  'ProtocolError',
  'PermissionDenied',
  'QubesInvalidTagError',
  'QubesInvalidLabelError',
  'QubesInvalidLabelValueError',
  'QubesVolumeCopyTokenNotFoundError',
  'QubesUnrecognizedDeviceAssignmentMode',
]);
