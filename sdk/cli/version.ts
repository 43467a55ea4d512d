/** Put in place of the name when the command is bundled: package.json's version. */
declare const POCKETMOE_VERSION: string;

export const VERSION: string = POCKETMOE_VERSION;
