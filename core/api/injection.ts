// Authors get the decorators from here, and with them the one copy of tsyringe that makes what they decorate.
export { inject, injectable } from '../vendor/tsyringe.js';
