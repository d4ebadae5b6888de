// Authors import the decorators from here, so that they use the copy of tsyringe that constructs their classes.
export { inject, injectable } from '../vendor/tsyringe.js';
